"use strict";

// A table of any length: only the rows in view exist. Columns sort, words filter, arrows walk.
//
// columns: { title, hint, className, values (numbers or texts), show(row), best: "high" or not,
// saved: what the column is called in the file, or columns [name, values] of the file instead }
class LongTable {
  constructor(box, columns, count, narrowest = 0) {
    this.box = box;
    this.apart = () => false; // rows that stand below all others, however they are sorted
    this.columns = columns;
    this.rows = Uint32Array.from({ length: count }, (_, row) => row);
    this.kept = () => true;
    this.sorted = columns[0];
    this.descending = false;
    this.rowHeight = 32;
    this.printing = false;
    this.buttons = columns.map((column) =>
      element("button", { type: "button", title: column.hint ?? "" }, column.title),
    );
    this.heads = columns.map((column, at) =>
      element("th", { className: column.className, scope: "col" }, this.buttons[at]),
    );
    this.body = element("tbody");
    this.table = element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...this.heads)),
      this.body,
    );
    this.table.style.minWidth = `${narrowest}px`;
    box.replaceChildren(this.table);
    this.listen();
    this.count = count;
    this.arrange();
  }

  listen() {
    this.buttons.forEach((button, at) =>
      button.addEventListener("click", () => this.sort(this.columns[at])),
    );
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest("tr[data-row]");
      if (line) choose(Number(line.dataset.row));
    });
    this.box.addEventListener("keydown", (event) => this.walk(event));
    let waiting = false;
    this.box.addEventListener("scroll", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        this.draw();
      });
    });
    new ResizeObserver(() => this.draw()).observe(this.box);
    const print = (printing) => {
      this.printing = printing;
      this.draw();
    };
    addEventListener("beforeprint", () => print(true));
    addEventListener("afterprint", () => print(false));
    onChoice(() => this.draw());
  }

  sort(column) {
    this.descending = column === this.sorted ? !this.descending : column.best === "high";
    this.sorted = column;
    this.arrange();
  }

  filter(kept) {
    this.kept = kept;
    this.arrange();
  }

  // what is not known goes last, either way; ties stay in the order of the ranks
  arrange() {
    const { values } = this.sorted;
    const sign = this.descending ? -1 : 1;
    const missing = (value) => Number(Number.isNaN(value));
    const compare = (a, b) => this.apart(a) - this.apart(b) || within(a, b);
    const within = (a, b) => {
      const [left, right] = [values[a], values[b]];
      if (left < right) return -sign;
      if (left > right) return sign;
      return left === right ? a - b : missing(left) - missing(right) || a - b;
    };
    this.rows = Uint32Array.from({ length: this.count }, (_, row) => row)
      .filter(this.kept)
      .sort(compare);
    this.heads.forEach((head, at) => {
      if (this.columns[at] !== this.sorted) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", this.descending ? "descending" : "ascending");
      const arrow = this.columns[at] !== this.sorted ? "" : this.descending ? " ↓" : " ↑";
      const { title, hint } = this.columns[at];
      this.buttons[at].replaceChildren(cut(title + arrow, "", hint));
    });
    this.table.setAttribute("aria-rowcount", this.rows.length + 1);
    this.box.scrollTop = 0;
    this.draw();
  }

  // the rows in view and a few more; on paper the first fifty
  draw() {
    const visible = Math.min(200, Math.ceil(this.box.clientHeight / this.rowHeight) + 10);
    const first = this.printing
      ? 0
      : Math.max(0, Math.floor(this.box.scrollTop / this.rowHeight) - 5);
    const last = Math.min(this.rows.length, first + (this.printing ? 50 : visible));
    const lines = Array.from(this.rows.subarray(first, last), (row, at) =>
      this.line(row, first + at),
    );
    const space = (rows) => {
      const cell = element("td");
      cell.style.height = `${this.printing ? 0 : rows * this.rowHeight}px`;
      return element("tr", { className: "space" }, cell);
    };
    this.body.replaceChildren(space(first), ...lines, space(this.rows.length - last));
    if (lines.length) this.rowHeight = lines[0].getBoundingClientRect().height;
  }

  line(row, at) {
    const cells = this.columns.map(({ className, show }) =>
      element("td", { className }, show(row)),
    );
    const line = element("tr", {}, ...cells);
    line.dataset.row = row;
    line.setAttribute("aria-rowindex", at + 2);
    if (this.apart(row)) line.className = "apart";
    if (row === choice.row) line.setAttribute("aria-selected", "true");
    return line;
  }

  // the rows that are shown, in their order, as lines of CSV
  lines() {
    const columns = this.columns.flatMap(({ saved, values }) =>
      typeof saved === "string" ? [[saved, values]] : (saved ?? []),
    );
    const rows = Array.from(this.rows, (row) => columns.map(([, values]) => values[row]));
    return [columns.map(([name]) => name), ...rows];
  }

  // choose a row and bring it into view
  reveal(row) {
    choose(row);
    const top = this.rows.indexOf(row) * this.rowHeight;
    this.box.scrollTop = top - (this.box.clientHeight - this.rowHeight) / 2;
    this.draw();
    this.box.scrollIntoView({ block: "center" });
  }

  walk(event) {
    const page = Math.floor(this.box.clientHeight / this.rowHeight) - 1;
    const steps = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    if (!(event.key in steps) || !this.rows.length) return;
    event.preventDefault();
    const at = this.rows.indexOf(choice.row) + steps[event.key];
    const next = Math.min(this.rows.length - 1, Math.max(0, at));
    const top = next * this.rowHeight;
    const bottom = top + 2 * this.rowHeight - this.box.clientHeight + 8;
    this.box.scrollTop = Math.max(Math.min(this.box.scrollTop, top), bottom);
    choose(this.rows[next]);
  }
}

// words typed into the search box keep the rows whose text has them, of those that `kept` keeps;
// a button saves the rows as a file, and an address such as #user=NAME chooses one
function searchTable(table, texts, [one, many], kept = () => true, others = []) {
  const folded = texts.map((text) => text.toLowerCase());
  const tools = document.querySelectorAll(".tools input");
  const search = () => {
    const words = byId("search").value.trim().toLowerCase();
    for (const each of [table, ...others])
      each.filter((row) => folded[row].includes(words) && kept(row));
    byId("found").textContent =
      `${counted(table.rows.length)} of ${several(texts.length, one, many)}`;
    if (table.rows.length) choose(table.rows[0]);
  };
  for (const tool of tools) tool.addEventListener("input", search);
  byId("csv").addEventListener("click", () => download(many, table.lines()));
  const follow = () => {
    const targets = Array.from(byId("target")?.options ?? [], (option) => option.textContent);
    const unknown = [
      [one, texts],
      ["target", targets],
    ].filter(([kind, known]) => ![null, ...known].includes(linked(kind)));
    byId("unknown").textContent = unknown
      .map(([kind]) => `This page has no ${kind} called “${linked(kind)}”.`)
      .join(" ");
    const row = texts.indexOf(linked(one));
    if (row < 0) return;
    if (!table.rows.includes(row)) {
      for (const tool of tools) [tool.value, tool.checked] = ["", false];
      search();
    }
    table.reveal(row);
  };
  search();
  addEventListener("hashchange", follow);
  // once the figures are drawn, so that the page has its height
  requestAnimationFrame(() => requestAnimationFrame(follow));
}
