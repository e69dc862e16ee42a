// The head of the page: the sentence, the totals, what changed, what fails.
function showSummary() {
  const tally = Object.fromEntries(outcomeIds.map((id) => [id, 0]));
  for (const cell of cells) tally[cell.outcome] += 1;
  const failing = [...bad].reduce((sum, id) => sum + tally[id], 0);
  const good = tally.built + tally.hit + tally.remote_hit;
  const sentence =
    failing > 0 ? `${failing} of ${count(cells.length, "cell")} ${failing === 1 ? "has" : "have"} no modules`
      : tally.not_run > 0 ? `${count(tally.not_run, "cell was", "cells were")} not run`
        : cells.length === 0 ? "Nothing was asked for" : `All ${count(good, "cell")} ${good === 1 ? "is" : "are"} good`;
  $("headline").textContent = sentence;
  document.title = `${sentence} · kiln report`;
  const facts = [
    `${count(data.packages.length, "package")} for ${count(data.kernels.length, "kernel")}`,
    when(data.started_ms),
    `${duration(data.finished_ms - data.started_ms)} on ${count(data.cores, "core")}` +
      (data.remote_slots ? ` and ${count(data.remote_slots, "remote slot")}` : ""),
  ];
  if (data.spent_cpu_ms) facts.push(`${duration(data.spent_cpu_ms)} of CPU time spent`);
  if (data.saved_cpu_ms) facts.push(`${duration(data.saved_cpu_ms)} saved by caches`);
  if (data.protection) facts.push(`builds confined by ${data.protection}`);
  if (data.interrupted) facts.push("stopped before its end");
  $("facts").textContent = facts.join("  ·  ");
  for (const id of outcomeIds) {
    if (!tally[id]) continue;
    const share = el("span", { class: `o-${id}`, title: `${tally[id]} ${outcomeWords[id]}` });
    share.style.flexGrow = tally[id];
    $("totals").append(share);
    $("legend").append(el("button", { type: "button", "data-outcome": id, "aria-pressed": "false" },
      badge(id), `${tally[id]} ${outcomeWords[id]}`));
  }
  $("footer").textContent = `Written by kiln ${data.kiln}. Logs are in the directory logs beside this page.`;
}

const openButton = (index, text) => el("button", { type: "button", "data-cell": index }, text);

// Which packages fail with which error, however many kernels see it.
function showFailures() {
  const failing = cells.filter((cell) => bad.has(cell.outcome) && cell.outcome !== "blocked");
  if (failing.length === 0) return;
  const groups = [...groupBy(failing, (cell) => `${cell.row}\n${cell.problem}`).values()];
  groups.sort((a, b) => b.length - a.length);
  $("failures").hidden = false;
  $("failures").append(
    el("h2", { id: "failures-title" }, "What fails"),
    limited(groups, 5, (group) => el("li", null,
      el("div", { class: "head" },
        badge(group[0].outcome), el("strong", null, data.packages[group[0].row]),
        el("span", { class: "muted small" }, count(group.length, "kernel"))),
      el("div", { class: "problem" }, group[0].problem ?? outcomeWords[group[0].outcome]),
      chips(group, (cell) => openButton(cell.index, kernelNames[cell.column])))));
}

function chips(items, render) {
  const box = el("div", { class: "chips" }, ...items.slice(0, 6).map(render));
  if (items.length > 6) {
    const more = el("button", { type: "button" }, `+ ${items.length - 6}`);
    more.addEventListener("click", () => more.replaceWith(...items.slice(6).map(render)));
    box.append(more);
  }
  return box;
}

// What changed since the former report: first of all, which kernel broke which package.
function showChanges() {
  if (!data.changes) return;
  const section = $("changes");
  section.hidden = false;
  const byKind = groupBy(data.changes.changes, (change) => change.kind);
  const summary = el("p", { class: "kinds" });
  for (const [kind, words] of data.changes.kinds) {
    const number = byKind.get(kind)?.length ?? 0;
    if (number) summary.append(el("span", { class: kind }, el("b", null, String(number)), ` ${words}`));
  }
  if (!summary.hasChildNodes()) summary.append("Nothing changed.");
  section.append(
    el("h2", { id: "changes-title" }, "Since the last report"),
    el("p", { class: "muted small" }, `of ${when(data.changes.before_started_ms)}`), summary);
  const broke = [...groupBy(byKind.get("broke") ?? [], kernelOfChange)].sort(([, a], [, b]) => b.length - a.length);
  if (broke.length) {
    section.append(limited(broke, 6, ([kernel, changes]) => el("li", null,
      el("div", { class: "head" }, el("strong", null, kernel),
        el("span", { class: "muted small" }, `broke ${count(changes.length, "package")}`)),
      chips(changes, brokenChip))));
  }
  for (const [kind, words] of data.changes.kinds) {
    const changes = byKind.get(kind);
    if (!changes || kind === "broke" || kind === "still_failing") continue;
    const box = el("details", null, el("summary", null, `${changes.length} ${words}`));
    box.addEventListener("toggle", () => box.append(limited([...groupBy(changes, kernelOfChange)], 12,
      ([kernel, some]) => el("li", null, el("div", null, kernel), chips(some, changeChip)))), { once: true });
    section.append(box);
  }
}

const kernelOfChange = (change) => (severalArchs ? `${change.kernel} ${change.arch}` : change.kernel);

function brokenChip(change) {
  const button = openButton(change.cell, `${glyphs[cells[change.cell].outcome]} ${change.label}`);
  const before = change.before ? `before: ${outcomeWords[change.before]}` : "not there before";
  button.title = `${change.problem ?? ""}\n${before}`;
  return button;
}

function changeChip(change) {
  const [before, after] = change.cpu_ms;
  const timed = change.kind === "slower" || change.kind === "faster";
  const text = timed ? `${change.label}  ${duration(before)} → ${duration(after)}` : change.label;
  return change.cell === null ? el("span", { class: "mono" }, text) : openButton(change.cell, text);
}
