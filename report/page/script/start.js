// Puts the page together, and hears what the reader does: one listener for all cells.
chooseTheme();
showSummary();
showChanges();
showFailures();
fillSelects();
buildMatrix();
styleColumns();
showTime();

document.addEventListener("click", (event) => {
  const target = event.target.closest?.("[data-cell], [data-package], [data-kernel], [data-outcome]");
  if (!target) return;
  const { cell, package: row, kernel: column, outcome } = target.dataset;
  if (cell !== undefined) openPanel(Number(cell));
  else if (row !== undefined) changeFilter({ row: filter.row === Number(row) ? null : Number(row) });
  else if (column !== undefined) changeFilter({ column: filter.column === Number(column) ? null : Number(column) });
  else toggleOutcome(outcome);
});
$("grid").addEventListener("keydown", moveInMatrix);
$("grid").addEventListener("mouseover", (event) => describe(event.target.closest("[data-cell]")));
$("grid").addEventListener("focusin", (event) => describe(event.target.closest("[data-cell]")));
$("search").addEventListener("input", () => changeFilter({ query: $("search").value }));
$("package").addEventListener("change", () => changeFilter({ row: $("package").value === "" ? null : Number($("package").value) }));
$("kernel").addEventListener("change", () => changeFilter({ column: $("kernel").value === "" ? null : Number($("kernel").value) }));
$("reset").addEventListener("click", () => changeFilter({ query: "", outcomes: new Set(), row: null, column: null }));
$("density").addEventListener("click", () => setDensity($("grid").classList.contains("compact") ? "comfortable" : "compact"));
document.addEventListener("keydown", (event) => {
  const typing = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "Escape") closePanel();
  else if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
  }
});
window.addEventListener("hashchange", readAddress);
readAddress();
performance.mark("kiln-ready");
setTimeout(prepareSearch, 200);
