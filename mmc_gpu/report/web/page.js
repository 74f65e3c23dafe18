"use strict";

// What every page needs: its data, unpacked; elements; numbers as text; the user who is chosen.
// Names are text wherever they go: children of an element are text nodes, never HTML.

const byId = (id) => document.getElementById(id);

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function unpackTexts(text) {
  return JSON.parse(new TextDecoder().decode(await unpack(text)));
}

// zigzag int32, the lowest bytes of all numbers first, then the next: see page.py
async function unpackIntegers(text) {
  const bytes = await unpack(text);
  const count = bytes.length / 4;
  const numbers = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const zigzag =
      bytes[i] |
      (bytes[i + count] << 8) |
      (bytes[i + 2 * count] << 16) |
      (bytes[i + 3 * count] << 24);
    numbers[i] = (zigzag >>> 1) ^ -(zigzag & 1);
  }
  return numbers;
}

// a column: its numbers, and to how many decimals they are shown
async function unpackColumn(packed) {
  if (packed.floats) {
    const bits = await unpackIntegers(packed.floats);
    return { values: Float64Array.from(new Float32Array(bits.buffer)), decimals: 2 };
  }
  const { decimals } = packed;
  const integers = await unpackIntegers(packed.integers);
  const values = Float64Array.from(integers, (integer) =>
    integer === -(2 ** 31)
      ? NaN
      : decimals < 0
        ? integer * 10 ** -decimals
        : integer / 10 ** decimals,
  );
  return { values, decimals };
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// a name where room may be short: its middle gives way, for names that begin alike end differently
const cut = (text, after = "", title = text + after) => {
  const letters = [...text];
  if (letters.length < 12) return text + after;
  const [begin, end] = [letters.slice(0, -7), letters.slice(-7)].map((part) => part.join(""));
  const parts = [element("span", {}, begin), end, element("span", {}, after)];
  return element("span", { className: "cut", title }, ...parts);
};

function shown(number, decimals, sign = "") {
  if (number === null || Number.isNaN(number)) return "–";
  const size = Math.abs(number);
  const text =
    decimals < 0 || decimals > 5
      ? size.toExponential(3)
      : size.toLocaleString("en", {
          minimumFractionDigits: decimals,
          maximumFractionDigits: decimals,
        });
  return (number < 0 ? "−" : sign) + text;
}

const signed = (number, decimals) => shown(number, decimals, "+");
const counted = (number) => shown(number, 0);
const percent = (share, decimals = 1) => `${shown(100 * share, decimals)} %`;
const several = (number, one, many) => `${counted(number)} ${number === 1 ? one : many}`;

function stakeText(stake) {
  if (stake === 0) return "–";
  return stake < 0.01 ? "< 0.01" : shown(stake, 2);
}

function listed(texts, most) {
  const rest = texts.length - most;
  return texts.slice(0, most).join(", ") + (rest > 0 ? ` and ${counted(rest)} more` : "");
}

// terms and values; a third text stands small below its value
function facts(list, triples) {
  list.replaceChildren(
    ...triples.map(([term, value, ...more]) =>
      element(
        "div",
        {},
        element("dt", {}, term),
        element("dd", {}, value, ...more.map((text) => element("small", {}, text))),
      ),
    ),
  );
}

// a table that fits on the page; columns: [heading, class]; a cell is a text, or a list of parts
function fillTable(table, columns, rows) {
  const cells = (kind, texts) =>
    texts.map((text, at) => element(kind, { className: columns[at][1] ?? "" }, ...[text].flat()));
  const headings = columns.map(([heading]) => heading);
  table.replaceChildren(
    element("thead", {}, element("tr", {}, ...cells("th", headings))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...cells("td", row)))),
  );
}

function fillSelect(box, texts, chosen = 0) {
  box.replaceChildren(...texts.map((text, value) => element("option", { value }, text)));
  box.value = chosen;
}

// what an address asks for, such as #user=NAME; a plus sign is one, no blank
const linked = (kind) =>
  new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B")).get(kind);

const link = (names) =>
  `#${Object.entries(names)
    .map(([kind, name]) => `${kind}=${encodeURIComponent(name)}`)
    .join("&")}`;

// the name of what is chosen, as a link to it that can be copied
const showName = (name, names) =>
  byId("name").replaceChildren(element("a", { href: link(names), title: "a link to this" }, name));

// text as a cell of CSV that no spreadsheet takes for a formula, as files/writing/tables.py has it
function csvCell(value) {
  if (typeof value !== "string") return Number.isNaN(value) ? "" : String(value);
  const safe = /^'*[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function download(name, lines) {
  const text = lines.map((cells) => `${cells.map(csvCell).join(",")}\n`).join("");
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  element("a", { href: url, download: `${name}.csv` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// the row of the chosen user, and who wants to know
const choice = { row: 0, listeners: [] };

function choose(row) {
  choice.row = row;
  for (const listener of choice.listeners) listener(row);
}

function onChoice(listener) {
  choice.listeners.push(listener);
}

function showReceipt({ receipt }) {
  const { rows, inputs } = receipt;
  facts(byId("receipt"), rows);
  if (inputs.length) {
    const texts = inputs.map(([file, bytes, sha256]) => [file, counted(bytes), sha256]);
    fillTable(byId("inputs"), [["File", "text"], ["Bytes"], ["sha256", "text long"]], texts);
  }
}

// load what the page shows, then show one part after another
async function showPage(load, parts) {
  try {
    const loaded = await load();
    document.querySelector("main").hidden = false;
    for (const part of parts) part(loaded);
  } catch (error) {
    document.body.prepend(element("p", {}, `This page cannot be shown here: ${error}`));
    throw error;
  }
}
