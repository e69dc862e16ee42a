// The matrix: a grid of boxes with one tab stop, moved by the arrow keys.
// Cells of a row that are laid out, or not, together.
const GROUP = 25;
const rowNodes = [];
const nameNodes = [];
const places = data.packages.map(() => new Array(data.kernels.length).fill(null));
let current = null;

const label = {
  built: (cell) => duration(cell.wall), hit: () => "hit", remote_hit: () => "remote", failed: () => "failed",
  known_failure: () => "known", blocked: () => "blocked", aborted: () => "aborted", excluded: () => "excluded", not_run: () => "not run",
};

function buildMatrix() {
  const grid = $("grid");
  const longest = Math.max(7, ...data.packages.map((name) => name.length));
  grid.style.setProperty("--name", `${Math.min(longest, 34) * 0.47 + 2.2}rem`);
  const wide = Math.max(...kernelNames.map((name) => name.length), 0);
  const header = el("div", { class: "row header", role: "row" },
    el("div", { class: "name", role: "columnheader" }, "package"));
  kernelNames.forEach((name, column) => header.append(
    el("div", { class: `column k${column}`, role: "columnheader" },
      el("button", { type: "button", tabindex: "-1", "data-kernel": column, title: name }, name))));
  for (const cell of cells) places[cell.row][cell.column] = cell;
  // Names are in a column of their own, which is stuck to the edge as one: a name in each row would be a layer in each.
  const names = el("div", { class: "names", role: "presentation" });
  const rows = el("div", { class: "rows", role: "presentation" });
  data.packages.forEach((name, row) => {
    nameNodes.push(el("div", { class: "name", role: "rowheader", id: `name-${row}` },
      el("button", { type: "button", tabindex: "-1", "data-package": row, title: name }, name)));
    const node = el("div", { class: "row body", role: "row" }), owned = [`name-${row}`];
    for (let first = 0; first < data.kernels.length; first += GROUP) {
      const id = `cells-${row}-${first / GROUP}`;
      const group = el("div", { class: `group g${first / GROUP}`, role: "presentation", id });
      const last = Math.min(first + GROUP, data.kernels.length);
      for (let column = first; column < last; column += 1) group.append(cellNode(places[row][column], column));
      owned.push(id);
      node.append(group);
    }
    // Children that are not named would come before what is: the name comes first.
    node.setAttribute("aria-owns", owned.join(" "));
    rowNodes.push(node);
  });
  names.append(...nameNodes);
  rows.append(...rowNodes);
  grid.append(header, el("div", { class: "lower", role: "presentation" }, names, rows),
    el("div", { class: "empty", id: "empty", hidden: true }, "No cell matches."));
  setDensity(data.kernels.length > 14 ? "compact" : "comfortable");
  grid.style.setProperty("--cell-wide", `${Math.min(Math.max(wide * 0.48 + 0.6, 5.6), 9.6)}rem`);
  setCurrent(cells[0] ?? null);
}

function cellNode(cell, column) {
  const node = document.createElement("div");
  if (!cell) {
    node.className = `cell none k${column}`;
    node.setAttribute("role", "gridcell");
    return node;
  }
  cell.node = node;
  node.className = `cell k${column} o-${cell.outcome}`;
  node.setAttribute("role", "gridcell");
  node.tabIndex = -1;
  node.dataset.cell = cell.index;
  // The words are an attribute that only a wide cell shows: a compact one is a box with one letter.
  node.textContent = glyphs[cell.outcome];
  node.dataset.label = label[cell.outcome](cell);
  return node;
}

// Names and tips are only made for the cells that somebody looks at.
function describe(node) {
  if (!node || node.title) return;
  const cell = cells[node.dataset.cell];
  const parts = [nameOfCell(cell), outcomeWords[cell.outcome]];
  if (cell.wall !== null) parts.push(duration(cell.wall));
  if (cell.problem) parts.push(cell.problem);
  node.title = parts.join("\n");
  node.setAttribute("aria-label", parts.join(", "));
}

function setDensity(density) {
  const compact = density === "compact";
  $("grid").classList.toggle("compact", compact);
  $("density").setAttribute("aria-pressed", String(compact));
}

function setCurrent(cell) {
  if (current) current.node.tabIndex = -1;
  current = cell;
  if (current) current.node.tabIndex = 0;
}

function focusCell(cell) {
  setCurrent(cell);
  describe(cell.node);
  cell.node.focus({ preventScroll: true });
  cell.node.scrollIntoView({ block: "nearest", inline: "nearest" });
  // What is stuck to the edges may cover it.
  const box = $("scroller"), here = cell.node.getBoundingClientRect(), edge = box.getBoundingClientRect();
  const top = edge.top + box.querySelector(".header").offsetHeight, left = edge.left + box.querySelector(".name").offsetWidth;
  if (here.top < top) box.scrollTop -= top - here.top;
  if (here.left < left) box.scrollLeft -= left - here.left;
}

const isShown = (cell) => cell && !rowNodes[cell.row].hidden && shownColumns[cell.column];

// The next cell that is shown, over gaps and what is filtered out.
function step(from, rows, columns) {
  let { row, column } = from, found = null;
  for (;;) {
    row += Math.sign(rows);
    column += Math.sign(columns);
    if (!places[row] || column < 0 || column >= data.kernels.length) return found;
    if (!isShown(places[row][column])) continue;
    found = places[row][column];
    rows -= Math.sign(rows);
    columns -= Math.sign(columns);
    if (rows === 0 && columns === 0) return found;
  }
}

function moveInMatrix(event) {
  const far = 1e9;
  const moves = {
    ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1],
    PageDown: [10, 0], PageUp: [-10, 0], End: [0, far], Home: [0, -far],
  };
  const move = event.ctrlKey || event.metaKey || event.altKey ? null : moves[event.key];
  const cell = cells[event.target.dataset.cell];
  if (!cell) return;
  if (move) {
    event.preventDefault();
    const next = step(cell, ...move);
    if (next) focusCell(next);
  } else if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    openPanel(cell.index);
  }
}
