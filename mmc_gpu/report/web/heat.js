"use strict";

// Every model in every era as a map of colours, the best model on top. The colours are blue and
// orange, see-through towards 0, so that they do on white and on dark paper; what shares a pixel is
// averaged.

const [above, below, unknown] = [
  [20, 118, 196],
  [222, 98, 12],
  [128, 128, 128],
];
const mostHeatRows = 420;

function showHeat(evaluation) {
  let map;
  const prepare = () => {
    map = heatMap(evaluation);
    const { decimals, limit } = map;
    byId("heat-low").textContent = signed(-limit, decimals);
    byId("heat-high").textContent = signed(limit, decimals);
  };
  prepare();
  const again = figure("heat", (width) => drawHeat(evaluation, map, width), true);
  evaluation.listeners.push(prepare, again);
}

// a canvas of one pixel a cell, and what its rows and colours mean
function heatMap(evaluation) {
  const { values, eras, place } = evaluation;
  const rows = evaluation.order.filter((row) => place.has(row));
  const high = Math.min(rows.length, mostHeatRows);
  const wide = Math.min(eras.length, 1000);
  const [sums, counts] = [new Float64Array(high * wide), new Uint32Array(high * wide)];
  rows.forEach((row, at) => {
    const start = Math.floor((at * high) / rows.length) * wide;
    const own = erasOf(evaluation, values, row);
    for (let era = 0; era < own.length; era++) {
      if (Number.isNaN(own[era])) continue;
      const cell = start + Math.floor((era * wide) / eras.length);
      sums[cell] += own[era];
      counts[cell]++;
    }
  });
  const cells = sums.map((sum, at) => (counts[at] ? sum / counts[at] : NaN));
  const sizes = cells
    .filter((cell) => !Number.isNaN(cell))
    .map(Math.abs)
    .sort();
  const limit = sizes[Math.floor(0.98 * (sizes.length - 1))] || 1;
  const decimals = Math.max(0, 1 - Math.floor(Math.log10(limit)));
  return { rows, canvas: paint(cells, wide, high, limit), limit, decimals };
}

function paint(cells, wide, high, limit) {
  const canvas = element("canvas", { width: wide, height: high, ariaLabel: "a cell an era" });
  const image = new ImageData(wide, high);
  cells.forEach((value, at) => {
    const missing = Number.isNaN(value);
    image.data.set(missing ? unknown : value < 0 ? below : above, 4 * at);
    image.data[4 * at + 3] = missing ? 70 : 255 * Math.min(1, Math.abs(value) / limit);
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

function drawHeat(evaluation, { rows, canvas }, width) {
  const { models, eras, values } = evaluation;
  const rowHeight = Math.min(18, (1.2 * mostHeatRows) / rows.length);
  const named = rowHeight >= 13;
  const tall = Math.round(rows.length * rowHeight);
  const [left, bottom, top] = [named ? Math.min(150, width / 3) : 52, 40, 8];
  const ranks = named ? [] : axis([1, rows.length], { count: 5, room: 0 }).ticks;
  const yAxis = {
    low: rows.length,
    high: 0,
    label: "",
    lines: "none",
    ticks: named
      ? rows.map((_, at) => at + 0.5)
      : [1, ...ranks.filter((rank) => rank > 1)].map((rank) => rank - 0.5),
    format: (tick) =>
      named ? shortened(models[rows[tick - 0.5]], left / 8.2) : counted(tick + 0.5),
  };
  const chart = frame(width, tall + top + bottom, eraAxis(evaluation, 0.5), yAxis, {
    left,
    bottom,
    top,
  });
  const at = rows.indexOf(choice.row);
  if (at >= 0) {
    const [from, to] = [chart.y(at), chart.y(at + 1)];
    const shape = { x: chart.left - 1, y: from - 1, width: chart.right - chart.left + 2 };
    chart.picture.append(svg("rect", { class: "outline", ...shape, height: to - from + 2 }));
  }
  pointAt(chart, width, (x, y) => {
    const across = (x - chart.left) / (chart.right - chart.left);
    const down = (y - chart.top) / (chart.bottom - chart.top);
    if (across < 0 || across >= 1 || down < 0 || down >= 1) return null;
    const [row, era] = [rows[Math.floor(down * rows.length)], Math.floor(across * eras.length)];
    const value = signed(erasOf(evaluation, values, row)[era], eraDecimals(evaluation));
    return [row, `${models[row]}\n${eras[era]}: ${value}`];
  });
  const share = (length, whole) => `${(100 * length) / whole}%`;
  const height = tall + top + bottom;
  canvas.style.left = share(chart.left, width);
  canvas.style.top = share(chart.top, height);
  canvas.style.width = share(chart.right - chart.left, width);
  canvas.style.height = share(chart.bottom - chart.top, height);
  return element("div", { className: "heat" }, canvas, chart.picture);
}

const shortened = (text, most) => (text.length > most ? `${text.slice(0, most - 8)}…${text.slice(-7)}` : text);
