// Light or dark: what the system says, until the reader chooses.
// What has to be drawn anew when the colours change.
const redraws = [];

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  for (const draw of redraws) draw();
}

function chooseTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  // A browser may refuse storage to a page from a file.
  try { chosen = localStorage.getItem("kiln-theme"); } catch { chosen = null; }
  setTheme(chosen ?? (dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => { if (!chosen) setTheme(dark.matches ? "dark" : "light"); });
  $("theme").addEventListener("click", () => {
    chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("kiln-theme", chosen); } catch { /* It lasts as long as the page. */ }
    setTheme(chosen);
  });
}
