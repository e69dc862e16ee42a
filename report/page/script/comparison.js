// The page of a comparison: what changed, by kind and kernel, as much of it as search and kinds let through.
const $ = (id) => document.getElementById(id);
const data = JSON.parse($("comparison-data").textContent);
const outcomeIds = data.outcomes.map(([id]) => id);
const outcomeWords = Object.fromEntries(data.outcomes);
const { kinds, changes } = data.list;
const severalArchs = new Set(changes.map((change) => change.arch)).size > 1;
const kernelOf = (change) => (severalArchs ? `${change.kernel} ${change.arch}` : change.kernel);
const chosen = new Set();

for (const change of changes) {
  const outcomes = [change.before, change.after].map((id) => outcomeWords[id] ?? "");
  change.text = [change.label, change.kernel, change.arch, ...outcomes, change.problem ?? change.former_problem ?? ""].join("\n").toLowerCase();
}

function showHead() {
  const number = (kind) => changes.filter((change) => change.kind === kind).length;
  const broke = number("broke"), fixed = number("fixed");
  const sentence = changes.length === 0 ? "Nothing changed"
    : broke > 0 ? `${count(broke, "cell newly fails", "cells newly fail")}` : "Nothing newly fails";
  $("headline").textContent = fixed > 0 ? `${sentence}, ${fixed} fixed` : sentence;
  document.title = `${$("headline").textContent} · kiln comparison`;
  data.sides.forEach((side, index) => {
    const bar = el("div", { class: "totals" });
    side.tally.forEach((some, outcome) => {
      if (!some) return;
      const share = el("span", { class: `o-${outcomeIds[outcome]}`, title: `${some} ${data.outcomes[outcome][1]}` });
      share.style.flexGrow = some;
      bar.append(share);
    });
    const words = side.tally.map((some, outcome) => some && `${some} ${data.outcomes[outcome][1]}`).filter(Boolean).join(", ");
    const facts = [when(side.started_ms), `${count(side.packages, "package")} for ${count(side.kernels, "kernel")}`,
      duration(side.wall_ms), `kiln ${side.kiln}`].join("  ·  ");
    $("sides").append(el("div", null,
      el("h2", null, ["Before", "After"][index]), el("p", { class: "muted small" }, facts), bar, el("p", { class: "small" }, words)));
  });
  for (const [kind, words] of kinds) {
    if (!number(kind)) continue;
    const button = el("button", { type: "button", "data-kind": kind, "aria-pressed": "false" }, el("b", null, String(number(kind))), ` ${words}`);
    button.addEventListener("click", () => {
      if (!chosen.delete(kind)) chosen.add(kind);
      button.setAttribute("aria-pressed", String(chosen.has(kind)));
      showChanges();
    });
    $("kinds").append(button);
  }
  $("search").hidden = changes.length === 0;
}

function showChanges() {
  const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = changes.filter((change) =>
    (chosen.size === 0 || chosen.has(change.kind)) && words.every((word) => change.text.includes(word)));
  const sections = [];
  const byKind = groupBy(shown, (change) => change.kind);
  for (const [kind, title] of kinds) {
    const some = byKind.get(kind);
    if (!some) continue;
    sections.push(el("section", { class: `card ${kind}` },
      el("h2", null, title, el("span", { class: "muted" }, `  ${some.length}`)),
      limited([...groupBy(some, kernelOf)], 12, ([kernel, group]) => el("li", null,
        el("div", { class: "head" }, el("strong", { class: "mono" }, kernel), el("span", { class: "muted small" }, count(group.length, "package"))),
        limited(group, 12, changeRow)))));
  }
  $("changes").replaceChildren(...sections);
  $("shown").textContent = changes.length === 0 ? "" : shown.length === 0 ? "No change matches."
    : shown.length < changes.length ? `${shown.length} of ${count(changes.length, "change")}` : "";
}

function changeRow(change) {
  const [before, after] = change.cpu_ms;
  const timed = change.kind === "slower" || change.kind === "faster";
  const side = (outcome) => (outcome ? badge(outcome, true) : el("span", { class: "muted" }, "not there"));
  return el("li", { class: "change" },
    el("span", { class: "mono" }, change.label),
    timed ? el("span", { class: "move" }, `${duration(before)} → ${duration(after)} of CPU time`)
      : el("span", { class: "move" }, side(change.before), el("span", { class: "muted", "aria-label": "then" }, "→"), side(change.after)),
    change.problem ? el("div", { class: "problem" }, change.problem) : null,
    change.former_problem ? el("div", { class: "problem former" }, `before: ${change.former_problem}`) : null);
}

chooseTheme();
showHead();
showChanges();
$("search").addEventListener("input", showChanges);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target !== $("search") && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    $("search").focus();
  }
});
