// The report's data: cells for the matrix at once, the details of a cell when it is opened.
const nonce = document.currentScript.nonce;
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("matrix-data").textContent);
const outcomeIds = data.outcomes.map(([id]) => id);
const outcomeWords = Object.fromEntries(data.outcomes);
const bad = new Set(["failed", "known_failure", "blocked", "aborted"]);
const severalArchs = new Set(data.kernels.map((kernel) => kernel.arch)).size > 1;
const kernelNames = data.kernels.map((k) => (severalArchs ? `${k.release} ${k.arch}` : k.release));

const cells = data.cells.map(([row, column, outcome, wall, start, end, lane, problem], index) => ({
  index, row, column, outcome: outcomeIds[outcome], wall, start, end, lane, problem, node: null, match: true,
}));

const nameOfCell = (cell) => `${data.packages[cell.row]} for ${kernelNames[cell.column]}`;

// How a cell is called in a link: by what it is, not by its place, so that a link outlives a report.
const cellToken = (cell) => {
  const kernel = data.kernels[cell.column];
  return `${data.packages[cell.row]}@${kernel.release}/${kernel.arch}`;
};
const cellByToken = (token) => cells.find((cell) => cellToken(cell) === token);

let detailLines = null;
function details(index) {
  detailLines ??= $("details-data").textContent.split("\n");
  return JSON.parse(detailLines[index]);
}

// For free-text search; made when the page has nothing else to do, at the latest at the first search.
let searchable = null;
function prepareSearch() {
  searchable ??= cells.map((cell) => {
    const kernel = data.kernels[cell.column];
    const words = [data.packages[cell.row], kernel.release, kernel.arch, outcomeWords[cell.outcome], cell.problem ?? ""];
    return words.join("\n").toLowerCase();
  });
}

function searchText(index) {
  prepareSearch();
  return searchable[index];
}
