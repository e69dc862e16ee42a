// Logs: each is a script beside the page that calls kilnLog with the text as gzip in base64.
const waiting = new Map();
const loaded = new Map();

window.kilnLog = (id, total, omitted, packed) => {
  waiting.get(id)?.resolve({ total, omitted, packed });
  waiting.delete(id);
};

function loadLog(file) {
  if (!loaded.has(file)) {
    const id = file.replace(/^.*\/|\.js$/g, "");
    const promise = new Promise((resolve, reject) => {
      waiting.set(id, { resolve });
      const script = document.createElement("script");
      script.nonce = nonce;
      script.src = file;
      script.onerror = () => reject(new Error(`${file} is not beside this page`));
      script.onload = () => script.remove();
      document.head.append(script);
    }).then(async ({ total, omitted, packed }) => {
      const raw = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
      const stream = new Blob([raw]).stream().pipeThrough(new DecompressionStream("gzip"));
      return { total, omitted, text: await new Response(stream).text() };
    });
    loaded.set(file, promise);
    promise.catch(() => loaded.delete(file));
  }
  return loaded.get(file);
}

const BLOCK = 200;
const MATCH_LIMIT = 5000;

// A log that is laid out in blocks of lines, of which only those in sight cost anything.
class LogView {
  constructor(text, firstError) {
    this.lines = text.replace(/\n$/, "").split("\n").map((line) => line.replace(/^.*\r(?=.)/, "").replace(/\r$/, ""));
    this.first = firstError ? this.lines.findIndex((line) => line.includes(firstError)) : -1;
    this.node = el("pre", { class: "log", tabindex: "0", "aria-label": "Log" });
    this.blocks = [];
    for (let start = 0; start < this.lines.length; start += BLOCK) {
      const block = el("div", { class: "block" });
      block.style.setProperty("--lines", Math.min(BLOCK, this.lines.length - start));
      this.blocks.push(block);
      this.node.append(block);
    }
    this.matches = [];
    this.now = -1;
    this.blocks.forEach((_, index) => this.draw(index));
  }

  // Finds a text, without regard to case; [line, column] of each match.
  find(query) {
    const touched = new Set(this.matches.map(([line]) => Math.floor(line / BLOCK)));
    this.matches = [];
    this.now = -1;
    const wanted = query.toLowerCase();
    for (let line = 0; wanted && line < this.lines.length && this.matches.length < MATCH_LIMIT; line += 1) {
      const text = this.lines[line].toLowerCase();
      for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) this.matches.push([line, at]);
    }
    this.length = wanted.length;
    for (const [line] of this.matches) touched.add(Math.floor(line / BLOCK));
    for (const block of touched) this.draw(block);
    this.go(0);
  }

  go(step) {
    if (this.matches.length === 0) return;
    const former = this.now;
    this.now = this.now < 0 ? 0 : (this.now + step + this.matches.length) % this.matches.length;
    const block = (match) => Math.floor(this.matches[match][0] / BLOCK);
    if (former >= 0 && block(former) !== block(this.now)) this.draw(block(former));
    this.draw(block(this.now));
    this.reveal(this.blocks[block(this.now)].querySelector("mark.now"));
  }

  goToFirstError() {
    if (this.first >= 0) this.reveal(this.blocks[Math.floor(this.first / BLOCK)].querySelector(".first"));
  }

  reveal(target) {
    if (!target) return;
    const box = this.node.getBoundingClientRect();
    // A block that was never in sight has a guessed height: look again once it has been laid out.
    for (let round = 0; round < 3; round += 1) {
      const at = target.getBoundingClientRect();
      this.node.scrollTop += at.top - box.top - box.height / 3;
      if (at.left > box.right - 40 || at.left < box.left) this.node.scrollLeft += at.left - box.left - 80;
    }
  }

  draw(index) {
    const start = index * BLOCK, end = Math.min(start + BLOCK, this.lines.length);
    const parts = [];
    let plain = "", match = this.matches.findIndex(([line]) => line >= start);
    const flush = () => { if (plain) parts.push(plain); plain = ""; };
    for (let line = start; line < end; line += 1) {
      const text = this.lines[line];
      const marks = [];
      for (; match >= 0 && match < this.matches.length && this.matches[match][0] === line; match += 1) {
        marks.push([this.matches[match][1], match]);
      }
      if (marks.length === 0 && line !== this.first) { plain += `${text}\n`; continue; }
      flush();
      const pieces = [];
      let from = 0;
      for (const [at, number] of marks) {
        pieces.push(text.slice(from, at), el("mark", { class: number === this.now && "now" }, text.slice(at, at + this.length)));
        from = at + this.length;
      }
      pieces.push(text.slice(from));
      parts.push(line === this.first ? el("span", { class: "first" }, ...pieces) : el("span", null, ...pieces), "\n");
    }
    flush();
    this.blocks[index].replaceChildren(...parts);
  }
}
