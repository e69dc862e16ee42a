// What is shown: one state, kept in the address, applied to cells, rows and columns.
const filter = { query: "", outcomes: new Set(), row: null, column: null };
const shownColumns = new Array(data.kernels.length).fill(true);
const columnSheet = new CSSStyleSheet();
document.adoptedStyleSheets = [columnSheet];

function applyFilter() {
  const words = filter.query.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = new Array(data.packages.length).fill(false);
  const columns = new Array(data.kernels.length).fill(false);
  let matching = 0;
  for (const cell of cells) {
    const match =
      (filter.row === null || cell.row === filter.row) &&
      (filter.column === null || cell.column === filter.column) &&
      (filter.outcomes.size === 0 || filter.outcomes.has(cell.outcome)) &&
      words.every((word) => searchText(cell.index).includes(word));
    if (match) {
      matching += 1;
      rows[cell.row] = true;
      columns[cell.column] = true;
    }
    if (match !== cell.match) {
      cell.match = match;
      cell.node.classList.toggle("dim", !match);
    }
  }
  rowNodes.forEach((node, row) => {
    if (node.hidden !== rows[row]) return;
    node.hidden = !rows[row];
    nameNodes[row].hidden = !rows[row];
  });
  if (columns.some((shown, column) => shown !== shownColumns[column])) {
    columns.forEach((shown, column) => { shownColumns[column] = shown; });
    styleColumns();
  }
  const filtered = matching !== cells.length;
  $("empty").hidden = matching > 0;
  $("reset").disabled = !isFiltered();
  $("shown").textContent = filtered
    ? `${matching} of ${count(cells.length, "cell")}, in ${count(rows.filter(Boolean).length, "package")} and ${count(columns.filter(Boolean).length, "kernel")}`
    : `${count(cells.length, "cell")}. Arrow keys move, Enter opens, / searches.`;
  if (current && !isShown(current)) setCurrent(cells.find((cell) => cell.match && isShown(cell)) ?? current);
}

// Hides columns; a group out of sight has to be told how wide it would be.
function styleColumns() {
  const rules = [];
  for (let first = 0; first < shownColumns.length; first += GROUP) {
    const shown = shownColumns.slice(first, first + GROUP).filter(Boolean).length;
    rules.push(shown ? `.g${first / GROUP} { width: calc(var(--cell) * ${shown}); }` : `.g${first / GROUP} { display: none; }`);
  }
  const hidden = shownColumns.flatMap((shown, column) => (shown ? [] : [`.k${column}`]));
  if (hidden.length) rules.push(`${hidden.join(",")} { display: none !important; }`);
  columnSheet.replaceSync(rules.join("\n"));
}

const isFiltered = () =>
  filter.query !== "" || filter.outcomes.size > 0 || filter.row !== null || filter.column !== null;

// Puts the state into the controls.
function showFilter() {
  if ($("search").value !== filter.query) $("search").value = filter.query;
  $("package").value = filter.row ?? "";
  $("kernel").value = filter.column ?? "";
  for (const button of $("legend").children) {
    button.setAttribute("aria-pressed", String(filter.outcomes.has(button.dataset.outcome)));
  }
}

function changeFilter(change) {
  Object.assign(filter, change);
  showFilter();
  applyFilter();
  writeAddress();
}

function toggleOutcome(outcome) {
  const outcomes = new Set(filter.outcomes);
  if (!outcomes.delete(outcome)) outcomes.add(outcome);
  changeFilter({ outcomes });
}

function writeAddress() {
  const parts = new URLSearchParams();
  if (opened !== null) parts.set("cell", cellToken(cells[opened]));
  if (filter.query) parts.set("q", filter.query);
  if (filter.outcomes.size) parts.set("outcome", [...filter.outcomes].join(","));
  if (filter.row !== null) parts.set("package", data.packages[filter.row]);
  if (filter.column !== null) parts.set("kernel", kernelNames[filter.column]);
  const hash = parts.toString();
  history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
}

function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const place = (list, name) => {
    const index = list.indexOf(parts.get(name));
    return index < 0 ? null : index;
  };
  const outcomes = (parts.get("outcome") ?? "").split(",").filter((id) => outcomeIds.includes(id));
  Object.assign(filter, {
    query: parts.get("q") ?? "", outcomes: new Set(outcomes),
    row: place(data.packages, "package"), column: place(kernelNames, "kernel"),
  });
  showFilter();
  applyFilter();
  const cell = parts.has("cell") ? cellByToken(parts.get("cell")) : null;
  if (cell) openPanel(cell.index);
  else closePanel();
}

function fillSelects() {
  const options = (select, all, names) => select.append(
    el("option", { value: "" }, all), ...names.map((name, index) => el("option", { value: index }, name)));
  options($("package"), "All packages", data.packages);
  options($("kernel"), "All kernels", kernelNames);
}
