// Cores and slots over time, and the chain of jobs that decided when the run ended.
function showTime() {
  const ran = cells.filter((cell) => cell.end !== null);
  if (ran.length === 0) return;
  const wall = Math.max(data.finished_ms - data.started_ms, ...ran.map((cell) => cell.end), 1);
  const section = $("time");
  section.hidden = false;
  section.append(el("h2", { id: "time-title" }, "Time"));
  coreUsePlot(section, wall);
  lanePlot(section, ran, wall);
  pathPlot(section, wall);
}

function ticks(wall) {
  const row = el("div", { class: "ticks", "aria-hidden": "true" });
  for (let part = 0; part <= 4; part += 1) row.append(el("span", null, duration((wall * part) / 4)));
  return row;
}

function coreUsePlot(section, wall) {
  const { interval_ms: interval, jobs, cores } = data.core_use;
  // An engine may have far more slots than jobs ever wait for: they would flatten the curve.
  const top = Math.max(data.cores, ...jobs, ...cores, 1);
  const picture = svg("svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-label": "Busy cores over time" });
  const x = (index) => Math.min((index * interval * 1000) / wall, 1000);
  const y = (value) => 100 - (value / top) * 100;
  const stairs = (values) => values.map((value, index) => `L${x(index)},${y(value)}L${x(index + 1)},${y(value)}`).join("");
  for (const share of [0, 0.5, 1]) picture.append(svg("line", { class: "rule", x1: 0, x2: 1000, y1: share * 100, y2: share * 100 }));
  picture.append(
    svg("path", { class: "area", d: `M0,100${stairs(cores)}L${x(cores.length)},100Z` }),
    svg("path", { class: "line", d: `M0,${y(cores[0])}${stairs(cores)}` }),
    svg("path", { class: "jobs", d: `M0,${y(jobs[0])}${stairs(jobs)}` }));
  const plot = el("div", { class: "plot" }, picture);
  for (const share of [0, 0.5, 1]) {
    const mark = el("span", { class: "y", "aria-hidden": "true" }, String(Math.round(top * (1 - share) * 10) / 10));
    mark.style.top = `${share * 100}%`;
    plot.append(mark);
  }
  const used = cores.reduce((sum, value) => sum + value, 0) * interval;
  const readout = el("div", { class: "readout" });
  const rest = `${((used / wall)).toFixed(1)} cores busy on average. Filled: busy cores, CPU time of each job spread evenly over it; dashed: jobs that ran.`;
  readout.textContent = rest;
  picture.addEventListener("mousemove", (event) => {
    const box = picture.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * wall, index = Math.floor(at / interval);
    if (index >= 0 && index < jobs.length) readout.textContent = `At ${duration(at)}: ${cores[index].toFixed(1)} cores busy, ${jobs[index].toFixed(1)} jobs`;
  });
  picture.addEventListener("mouseleave", () => { readout.textContent = rest; });
  section.append(el("h3", null, "Cores"), plot, ticks(wall), readout);
}

function lanePlot(section, ran, wall) {
  if (data.lanes.length === 0) return;
  const height = Math.max(2, Math.min(18, Math.floor(420 / data.lanes.length)));
  const canvas = el("canvas", { role: "img", "aria-label": "Jobs in their slots over time; the matrix lists the same jobs" });
  const readout = el("div", { class: "readout" }, `${count(data.lanes.length, "slot")}, ${count(ran.length, "job")}. Click a job to open it.`);
  // This machine's slots, and below a gap those of an engine.
  const local = data.local_lanes, remote = data.lanes.length - local, plot = el("div", { class: "plot" }, canvas);
  const rowOfLane = data.lanes.map((_, lane) => (lane >= local && local > 0 ? lane + 1 : lane));
  const rows = rowOfLane.at(-1) + 1;
  const side = (name, from, to) => {
    const mark = el("span", { class: "y" }, name);
    mark.style.top = `${((rowOfLane[from] + rowOfLane[to - 1] + 1) / 2 / rows) * 100}%`;
    plot.append(mark);
  };
  if (remote > 0 && local > 0) side("here", 0, local);
  if (remote > 0) side("remote", local, local + remote);
  canvas.style.height = `${height * rows}px`;
  section.append(el("h3", null, "Slots"), plot, ticks(wall), readout);
  const draw = () => {
    const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * rows * ratio;
    const pen = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
    const colours = Object.fromEntries(outcomeIds.map((id) => [id, style.getPropertyValue(`--${id}`)]));
    const gap = height > 4 ? 1 : 0;
    pen.scale(ratio, ratio);
    for (const cell of ran) {
      if (cell.lane === null) continue;
      pen.fillStyle = colours[cell.outcome];
      const from = (cell.start / wall) * width, to = (cell.end / wall) * width;
      pen.fillRect(from, rowOfLane[cell.lane] * height, Math.max(to - from - 0.5, 0.75), height - gap);
    }
  };
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const time = ((event.clientX - box.left) / box.width) * wall, row = Math.floor((event.clientY - box.top) / height);
    return ran.find((cell) => rowOfLane[cell.lane] === row && cell.start <= time && time <= cell.end);
  };
  canvas.addEventListener("mousemove", (event) => {
    const cell = at(event);
    if (cell) readout.textContent = `${nameOfCell(cell)}: ${outcomeWords[cell.outcome]}, ${duration(cell.end - cell.start)} in ${data.lanes[cell.lane]}`;
  });
  canvas.addEventListener("click", (event) => {
    const cell = at(event);
    if (cell) openPanel(cell.index);
  });
  new ResizeObserver(draw).observe(canvas);
  redraws.push(draw);
}

function pathPlot(section, wall) {
  const { links, bound_ms: bound } = data.critical_path;
  if (links.length === 0) return;
  const because = { first: "the first", dependency: "needs the one before", slot: "waited for a slot" };
  const table = el("div", { class: "path" });
  const row = (link) => {
    const cell = cells[link.cell], bar = el("i", { class: `o-${cell.outcome}` });
    bar.style.left = `${(link.start_ms / wall) * 100}%`;
    bar.style.width = `${((link.end_ms - link.start_ms) / wall) * 100}%`;
    return [
      el("button", { type: "button", class: "link", "data-cell": link.cell, title: because[link.because] },
        link.because === "dependency" ? "↳ " : "", nameOfCell(cell)),
      el("div", { class: "track", title: because[link.because] }, bar),
      el("span", { class: "length" }, duration(link.end_ms - link.start_ms))];
  };
  // The longest links tell most; all are there on request, in order.
  const shown = [...links].sort((a, b) => b.end_ms - b.start_ms - (a.end_ms - a.start_ms)).slice(0, 15);
  table.append(...links.filter((link) => shown.includes(link)).flatMap(row));
  const notes = `The chain of jobs that ends with the last one: each began when the one above it was done, because it waited for its slot or (↳) builds on it. ` +
    `With any number of cores the run would still take ${duration(bound)}, its longest chain of dependencies.`;
  section.append(el("h3", null, "Critical path"), el("p", { class: "muted small" }, notes), table);
  if (links.length > shown.length) {
    const more = el("button", { type: "button" }, `Show all ${links.length} jobs of the path`);
    more.addEventListener("click", () => { table.replaceChildren(...links.flatMap(row)); more.remove(); });
    section.append(el("p", null, more));
  }
}
