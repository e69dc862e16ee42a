// The panel of one cell: outcome, error, reason, key, phases, log.
let opened = null;

function openPanel(index) {
  if (opened === index) return;
  if (opened !== null) cells[opened].node.classList.remove("open");
  opened = index;
  const cell = cells[index], detail = details(index), panel = $("panel");
  cell.node.classList.add("open");
  setCurrent(cell);
  const title = el("h2", { id: "panel-title", tabindex: "-1" }, data.packages[cell.row]);
  panel.replaceChildren(
    el("div", { class: "panel-top" },
      el("div", null, title, el("div", { class: "mono muted" }, `${detail.kernel} ${detail.arch}`)),
      el("div", { class: "buttons" },
        copyButton("Copy link", () => location.href),
        el("button", { type: "button", onclick: closePanel, "aria-label": "Close" }, "✕"))),
    el("p", null, badge(cell.outcome, true)));
  panel.append(...problem(detail), facts(cell, detail), ...phases(detail), ...outputs(detail));
  const log = el("div");
  panel.append(el("h3", null, "Log"), log);
  showLog(log, detail);
  panel.hidden = false;
  panel.scrollTop = 0;
  title.focus({ preventScroll: true });
  writeAddress();
}

function closePanel() {
  if (opened === null) return;
  const cell = cells[opened];
  cell.node.classList.remove("open");
  opened = null;
  const had = $("panel").contains(document.activeElement);
  $("panel").hidden = true;
  $("panel").replaceChildren();
  writeAddress();
  if (had && isShown(cell)) focusCell(cell);
}

function copyButton(words, text) {
  const button = el("button", { type: "button" }, words);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text());
      button.textContent = "Copied";
    } catch {
      prompt("Copy this:", text());
    }
    setTimeout(() => { button.textContent = words; }, 1500);
  });
  return button;
}

function problem(detail) {
  const found = [];
  const error = detail.first_error;
  if (error) {
    const place = error.file ? `${error.file}${error.line ? `:${error.line}` : ""}` : null;
    found.push(el("div", { class: "error-box" },
      place && el("div", { class: "place" }, place), el("div", { class: "message" }, error.message)));
  } else if (detail.cause) {
    found.push(el("div", { class: "error-box" }, el("div", { class: "message" }, detail.cause)));
  }
  if (detail.hint) found.push(el("p", { class: "small" }, `Hint: ${detail.hint}`));
  return found;
}

const cellLink = (index) =>
  el("button", { type: "button", class: "link", "data-cell": index }, nameOfCell(cells[index]));

function facts(cell, detail) {
  const list = el("dl", { class: "facts" });
  const add = (name, ...values) => {
    if (values.some((value) => value !== null && value !== undefined && value !== "")) {
      list.append(el("dt", null, name), el("dd", null, ...values));
    }
  };
  add("Why built", detail.why);
  if (cells[detail.blocked_by]) add("Blocked by", cellLink(detail.blocked_by));
  if (detail.span) {
    const lane = cell.lane === null ? "" : ` in ${data.lanes[cell.lane]}`;
    add("Ran", `from ${duration(detail.span.start_ms)} to ${duration(detail.span.end_ms)} of the run${lane}`);
  }
  if (detail.cost) {
    const { wall_ms, cpu_ms, peak_memory_bytes } = detail.cost;
    const then = detail.span && ["built", "failed"].includes(detail.outcome) ? "" : " (when it was built)";
    add("Cost", `${duration(wall_ms)}, ${duration(cpu_ms)} of CPU time, peak memory ${bytes(peak_memory_bytes)}${then}`);
  }
  for (const index of (detail.dependencies ?? []).filter((place) => cells[place])) add("Builds on", cellLink(index));
  add("Key", detail.key ? el("code", null, detail.key) : null);
  return list;
}

function phases(detail) {
  if (!detail.phases?.length || !detail.span) return [];
  const { start_ms: from, end_ms: to } = detail.span, length = Math.max(to - from, 1);
  const table = el("div", { class: "phases" });
  for (const phase of detail.phases) {
    const bar = el("i");
    bar.style.left = `${((phase.start_ms - from) / length) * 100}%`;
    bar.style.width = `${((phase.end_ms - phase.start_ms) / length) * 100}%`;
    table.append(el("span", null, phase.name), el("div", { class: "track" }, bar),
      el("span", { class: "length" }, duration(phase.end_ms - phase.start_ms)));
  }
  return [el("h3", null, "Phases"), table];
}

function outputs(detail) {
  if (!detail.outputs?.length) return [];
  const list = el("dl", { class: "facts" });
  for (const output of detail.outputs) {
    list.append(el("dt", { class: "mono" }, output.path),
      el("dd", null, `${bytes(output.bytes)}  `, el("code", { class: "muted" }, output.digest)));
  }
  return [el("h3", null, "Results"), list];
}

async function showLog(box, detail) {
  if (!detail.file) {
    box.append(el("p", { class: "muted small" }, detail.log ? "The log was gone from the cache when this page was written." : "There is no log."));
    return;
  }
  box.append(el("p", { class: "muted small" }, "Loading…"));
  try {
    const { text, total, omitted } = await loadLog(detail.file);
    const view = new LogView(text, detail.first_error?.message);
    const note = omitted > 0
      ? `The last ${bytes(total - omitted)} of ${bytes(total)}; the whole log: kiln log`
      : `${count(view.lines.length, "line")}, ${bytes(total)}`;
    box.replaceChildren(logBar(view), el("p", { class: "muted small" }, note), view.node);
    view.goToFirstError();
  } catch (error) {
    box.replaceChildren(el("p", { class: "problem" }, `The log cannot be shown: ${error.message}`));
  }
}

function logBar(view) {
  const field = el("input", { type: "search", class: "find", placeholder: "Search in the log", "aria-label": "Search in the log", spellcheck: "false" });
  const counter = el("span", { class: "muted small count", "aria-live": "polite" });
  const tell = () => {
    const found = view.matches.length;
    counter.textContent = !field.value ? "" : found ? `${view.now + 1} of ${found}${found >= MATCH_LIMIT ? "+" : ""}` : "no match";
  };
  const go = (step) => { view.go(step); tell(); };
  field.addEventListener("input", () => { view.find(field.value); tell(); });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") { event.preventDefault(); go(event.shiftKey ? -1 : 1); }
  });
  const wrap = el("button", { type: "button", "aria-pressed": "false" }, "Wrap");
  wrap.addEventListener("click", () => wrap.setAttribute("aria-pressed", String(view.node.classList.toggle("wrap"))));
  return el("div", { class: "log-bar" }, field, counter,
    el("button", { type: "button", onclick: () => go(-1), "aria-label": "Previous match" }, "↑"),
    el("button", { type: "button", onclick: () => go(1), "aria-label": "Next match" }, "↓"),
    view.first >= 0 && el("button", { type: "button", onclick: () => view.goToFirstError() }, "First error") || null, wrap,
    copyButton("Copy log", () => view.lines.join("\n")));
}
