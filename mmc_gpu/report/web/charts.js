"use strict";

// Charts as SVG, drawn to the width they get; colours are the style's, so that dark pages and paper
// need no drawing again.

const svgName = "http://www.w3.org/2000/svg";

function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(svgName, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const segment = (name, x1, y1, x2, y2) => svg("line", { class: name, x1, y1, x2, y2 });

const paperWidth = (host) => (host.closest(".pair, aside") ? 340 : 700); // half a page, or whole

// draw(width) returns an element; drawn again when the width or the chosen row changes, or when
// what is returned is called. Pictures without a name of their own get that of the figure.
function figure(id, draw, followsChoice = false) {
  const host = byId(id);
  let width = 0;
  const drawAt = (wide) => {
    host.replaceChildren(draw(wide));
    const name = host.dataset.name ?? host.parentElement.querySelector("b").textContent;
    for (const picture of host.querySelectorAll("svg, canvas")) {
      picture.setAttribute("role", "img");
      if (!picture.hasAttribute("aria-label")) picture.setAttribute("aria-label", name);
    }
  };
  const again = () => width && drawAt(width);
  addEventListener("beforeprint", () => drawAt(paperWidth(host)));
  addEventListener("afterprint", again);
  new ResizeObserver(() => {
    const now = Math.round(host.clientWidth);
    if (now === width) return;
    width = now;
    again();
  }).observe(host);
  if (followsChoice) onChoice(again);
  return again;
}

function niceStep(range, count) {
  const step = 10 ** Math.floor(Math.log10(range / count));
  const factor = [1, 2, 5, 10].find((times) => range / (step * times) <= count);
  return step * (factor ?? 10);
}

function extent(values, zero = false) {
  let [low, high] = zero ? [0, 0] : [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (!(low < high)) [low, high] = low === high ? [low - 1, high + 1] : [-1, 1];
  return [low, high];
}

// an axis from values: a little room at both ends, ticks at round numbers, a line at each and a
// darker one at zero, unless `lines` says otherwise
function axis(values, { label = "", count = 6, format, zero = false, room = 0.04, lines } = {}) {
  const [low, high] = extent(values, zero);
  const step = niceStep(high - low, count);
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const ticks = [];
  for (let tick = Math.ceil(low / step); tick * step <= high + step * 1e-9; tick++) {
    ticks.push(tick * step + 0);
  }
  const padding = room * (high - low);
  return {
    label,
    ticks,
    lines,
    low: low - padding,
    high: high + padding,
    format:
      format ??
      ((tick) => (step < 1e-5 || step >= 1e5 ? tick.toPrecision(2) : shown(tick, decimals))),
  };
}

const decades = (low, high) =>
  Array.from(
    { length: Math.max(0, Math.floor(high) - Math.ceil(low) + 1) },
    (_, at) => Math.ceil(low) + at,
  );

// an empty chart with its axes; x and y turn values into places on it. No value lies in the inset,
// at the top and at the bottom
function frame(width, height, xAxis, yAxis, given = {}) {
  const { left = 52, bottom = 40, top = 26, right = 10, inset = 0 } = given;
  const place = (axis, start, end) => (value) =>
    start + ((value - axis.low) / (axis.high - axis.low)) * (end - start);
  const x = place(xAxis, left, width - right);
  const y = place(yAxis, height - bottom - inset, top + inset);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${height}` });
  const line = (...given) => picture.append(segment(...given));
  const label = (text, at) => picture.append(svg("text", at, text));
  const kind = (tick, { lines = "zero" }) => (tick === 0 && lines === "zero" ? "zero" : "grid");
  for (const tick of yAxis.ticks) {
    if (yAxis.lines !== "none") line(kind(tick, yAxis), left, y(tick), width - right, y(tick));
    label(yAxis.format(tick), { x: left - 8, y: y(tick) + 4, "text-anchor": "end" });
  }
  let free = -Infinity;
  for (const tick of xAxis.ticks) {
    if (xAxis.lines !== "none") line(kind(tick, xAxis), x(tick), top, x(tick), height - bottom);
    const text = xAxis.format(tick);
    const half = 3.6 * text.length;
    const middle = Math.min(x(tick), width - half);
    if (middle - half < free) continue;
    free = middle + half + 6;
    label(text, { x: middle, y: height - bottom + 18, "text-anchor": "middle" });
  }
  label(xAxis.label, { x: width - right, y: height - 4, "text-anchor": "end" });
  label(yAxis.label, { x: 0, y: 11 });
  return { picture, x, y, left, right: width - right, top, bottom: height - bottom };
}

// a bar from one value to another
function bar(chart, name, x, width, to, from = 0) {
  const [one, other] = [chart.y(from), chart.y(to)];
  const shape = { class: name, x, width, y: Math.min(one, other), height: Math.abs(one - other) };
  return chart.picture.appendChild(svg("rect", shape));
}

// Dots in eight layers: within one, overlapping dots count once, so that shades show density
// without a DOM node for each user. Of many dots on one spot, one a layer is drawn.
function cloud(picture, px, py) {
  const count = px.length;
  const few = count < 300; // hardly any overlap, so each must be seen by itself
  const size = count > 20000 ? 2.5 : count > 2000 ? 4 : few ? 7 : 5.5;
  const spot = count > 20000 ? 1 : 8;
  const layers = Array.from({ length: 8 }, () => []);
  const taken = layers.map(() => new Set());
  for (let i = 0; i < count; i++) {
    if (Number.isNaN(px[i] + py[i])) continue;
    const [x, y] = [Math.round(px[i] * spot) / spot, Math.round(py[i] * spot) / spot];
    const at = y * 16384 + x;
    if (taken[i % 8].has(at)) continue;
    taken[i % 8].add(at);
    layers[i % 8].push(`M${x} ${y}h0`);
  }
  for (const layer of layers) {
    const name = few ? "cloud few" : "cloud";
    picture.append(svg("path", { class: name, "stroke-width": size, d: layer.join("") }));
  }
}

function nearest(px, py, x, y, within = 14) {
  let [best, distance] = [-1, within * within];
  for (let i = 0; i < px.length; i++) {
    const apart = (px[i] - x) ** 2 + (py[i] - y) ** 2;
    if (apart < distance) [best, distance] = [i, apart];
  }
  return best;
}

function tip(text, event) {
  const box = byId("tip");
  box.hidden = !text;
  if (!text) return;
  box.textContent = text;
  const left = Math.min(event.clientX + 14, innerWidth - box.offsetWidth - 8);
  const above = event.clientY + 14 + box.offsetHeight > innerHeight;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${above ? event.clientY - box.offsetHeight - 10 : event.clientY + 14}px`;
}

// where the pointer is on a chart that is so wide
function pointed({ picture }, width, event) {
  const box = picture.getBoundingClientRect();
  const zoom = width / box.width;
  return [(event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom];
}

// words at the row under the pointer, and a click chooses it; found(x, y) returns row and words
function pointAt(chart, width, found) {
  const at = (event) => found(...pointed(chart, width, event)) ?? [];
  chart.picture.addEventListener("pointermove", (event) => tip(at(event)[1] ?? "", event));
  chart.picture.addEventListener("pointerleave", () => tip(""));
  chart.picture.addEventListener("click", (event) => {
    const [row] = at(event);
    if (row !== undefined) choose(row);
  });
}

// a line at what is under the pointer; tell says it, and returns its place on the axis, null for none
function pointAlong(chart, width, tell) {
  const ends = { y1: chart.top, y2: chart.bottom, visibility: "hidden" };
  const cursor = svg("line", { class: "zero", ...ends });
  chart.picture.append(cursor);
  const hide = () => {
    cursor.setAttribute("visibility", "hidden");
    tip("");
  };
  chart.picture.addEventListener("pointerleave", hide);
  chart.picture.addEventListener("pointermove", (event) => {
    const [x] = pointed(chart, width, event);
    const place = tell((x - chart.left) / (chart.right - chart.left), event);
    if (place === null) return hide();
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, chart.x(place));
    cursor.setAttribute("visibility", "visible");
  });
}

// rows as dots; a name under the pointer, a click chooses; the chosen one is marked. read() returns
// what is to be drawn
function scatter(id, read) {
  let marker, px, py;
  const mark = (row) => {
    const hidden = Number.isNaN(px[row] + py[row]);
    marker.setAttribute("r", hidden ? 0 : 6);
    if (hidden) return;
    marker.setAttribute("cx", px[row]);
    marker.setAttribute("cy", py[row]);
  };
  onChoice((row) => marker && mark(row));
  return figure(id, (width) => {
    const { xs, ys, xAxis, yAxis, inset, describe, decorate } = read();
    const chart = frame(width, Math.min(380, width), xAxis, yAxis, { inset });
    px = Float32Array.from(xs, chart.x);
    py = Float32Array.from(ys, chart.y);
    cloud(chart.picture, px, py);
    decorate?.(chart);
    marker = svg("circle", { class: "chosen" });
    chart.picture.append(marker);
    mark(choice.row);
    pointAt(chart, width, (x, y) => {
      const row = nearest(px, py, x, y);
      return row < 0 ? null : [row, describe(row)];
    });
    return chart.picture;
  });
}

// how many users have which value; a line marks the chosen user
function histogram(id, values, { label, height = 240 }) {
  const known = values.filter((value) => !Number.isNaN(value));
  const [low, high] = extent(known);
  const step = niceStep(high - low, Math.min(80, Math.max(30, 3 * Math.sqrt(known.length))));
  const first = Math.floor(low / step);
  const counts = new Array(Math.floor(high / step) - first + 1).fill(0);
  for (const value of known) counts[Math.floor(value / step) - first]++;
  const xAxis = axis([first * step, (first + counts.length) * step], { label, room: 0.01 });
  const yAxis = axis(counts, { label: "users", count: 4, zero: true, room: 0, lines: "grid" });
  figure(
    id,
    (width) => {
      const chart = frame(width, height, xAxis, yAxis);
      counts.forEach((count, at) => {
        const [start, end] = [chart.x((first + at) * step), chart.x((first + at + 1) * step)];
        bar(chart, "bar", start, Math.max(0.5, end - start - 0.5), count);
      });
      const x = chart.x(values[choice.row]);
      if (!Number.isNaN(x)) chart.picture.append(segment("chosen", x, chart.top, x, chart.bottom));
      return chart.picture;
    },
    true,
  );
}
