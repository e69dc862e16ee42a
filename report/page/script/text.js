// Elements and words. Whatever comes from the report becomes a text node or an attribute, never markup.
const glyphs = {
  built: "✓", hit: "•", remote_hit: "↓", failed: "✕", known_failure: "⊗", blocked: "⊘", aborted: "!", excluded: "–", not_run: "…",
};

function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function duration(ms) {
  if (ms === null || ms === undefined) return "";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (number) => String(number).padStart(2, "0");
  return whole < 3600
    ? `${Math.floor(whole / 60)}:${two(whole % 60)} min`
    : `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)} h`;
}

function bytes(count) {
  let value = count;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1024 || unit === "GiB") return `${unit === "B" ? value : value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
}

const count = (number, one, many) => `${number} ${number === 1 ? one : many ?? `${one}s`}`;
const when = (ms) => new Date(ms).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
const badge = (outcome, words) =>
  el("span", { class: `badge o-${outcome}${words ? " words" : ""}`, "aria-hidden": !words && "true" },
    words ? `${glyphs[outcome]} ${outcomeWords[outcome]}` : glyphs[outcome]);

// A list that shows its first entries, and the rest on request.
function limited(items, limit, render) {
  const list = el("ul", { class: "list" });
  list.append(...items.slice(0, limit).map(render));
  if (items.length > limit) {
    const more = el("button", { type: "button", class: "link" }, `Show ${items.length - limit} more`);
    const last = el("li", null, more);
    more.addEventListener("click", () => last.replaceWith(...items.slice(limit).map(render)));
    list.append(last);
  }
  return list;
}

function groupBy(items, key) {
  const groups = new Map();
  for (const item of items) {
    const name = key(item);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(item);
  }
  return groups;
}
