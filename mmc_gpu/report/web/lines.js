"use strict";

// Running sums and drawdowns of the models that are compared, over the eras.

const dashes = { "share-1": "7 3", "share-2": "2 3", "share-3": "9 3 2 3", "share-4": "4 4" };

function showLines(evaluation) {
  const again = [
    figure("sums", (width) => {
      const { standing, values, sums } = evaluation;
      if (standing.returns) return lineChart(evaluation, width, 380, "running sum", sums, true);
      const means = rollingMeans(values, evaluation.eras.length);
      return lineChart(evaluation, width, 380, "rolling mean", means, true);
    }),
    figure("drawdowns", (width) =>
      lineChart(evaluation, width, 220, "below its highest", evaluation.sums, false, drawdowns),
    ),
  ];
  const tell = () => {
    const { returns } = evaluation.standing;
    byId("drawdowns").parentElement.hidden = !returns;
    const window = rollingWindow(evaluation.eras.length);
    byId("sums-title").textContent = returns
      ? "Cumulative score."
      : `Mean of ${several(window, "era", "eras")}.`;
    for (const draw of again) draw();
    showLegend(evaluation);
  };
  evaluation.listeners.push(tell);
  evaluation.comparing.listeners.push(tell);
  onChoice(tell);
  tell();
}

function showLegend(evaluation) {
  byId("legend").replaceChildren(
    ...drawnModels(evaluation).map(({ row, className }) => {
      const swatch = svg(
        "svg",
        { viewBox: "0 0 24 8", class: "swatch", "aria-hidden": true },
        line(className, "M0 4H24"),
      );
      return element("li", {}, swatch, cut(evaluation.models[row]));
    }),
  );
  byId("lines-note").textContent =
    "Tick models in the table to compare them; the orange line is the chosen one." +
    (shadedPlaces(evaluation).length >= fewestShaded
      ? ` The shade holds the middle 80 % of ${counted(shadedPlaces(evaluation).length)} models.`
      : "");
}

function line(className, d) {
  return svg("path", {
    class: `line ${className}`,
    "stroke-dasharray": dashes[className] ?? "",
    d,
  });
}

function lineChart(evaluation, width, height, label, values, shaded, of = (own) => own) {
  const lines = drawnModels(evaluation).map((one) => ({
    ...one,
    series: of(erasOf(evaluation, values, one.row)),
  }));
  const band = shaded ? middle(evaluation, values) : [];
  const reached = [...lines.map(({ series }) => [...series]), ...band.map((at) => at.reach)].flat();
  const zero = evaluation.standing.returns; // sums begin at 0
  const yAxis = axis(reached, { label, zero, count: 5 });
  const chart = frame(width, height, eraAxis(evaluation), yAxis, { left: 56 });
  if (band.length > 1) {
    const corner = (side) => (at) =>
      `${chart.x(at.era).toFixed(1)} ${chart.y(at.reach[side]).toFixed(1)}`;
    const edge = [...band.map(corner(1)), ...band.map(corner(0)).reverse()];
    chart.picture.append(svg("path", { class: "band", d: `M${edge.join("L")}Z` }));
  }
  for (const { series, className } of lines) {
    chart.picture.append(line(className, pathOf(series, chart)));
  }
  pointAtEras(evaluation, chart, width, lines);
  return chart.picture;
}

const fewestShaded = 10;

// places of the kept models that are compared
const shadedPlaces = ({ kept, few }) => Array.from(kept.keys()).filter((at) => !few.has(kept[at]));

// a line with gaps where there is no score; a lone era is a dot
function pathOf(series, chart) {
  let joined = false;
  const points = Array.from(series, (value, era) => {
    if (Number.isNaN(value)) {
      joined = false;
      return "";
    }
    const start = joined ? "L" : "M";
    const alone = !joined && !(series[era + 1] <= Infinity) ? "h0" : "";
    joined = true;
    return `${start}${chart.x(era).toFixed(1)} ${chart.y(value).toFixed(1)}${alone}`;
  });
  return points.join("");
}

// between which sums the middle 80 % of the models are, at up to 120 eras
function middle(evaluation, values) {
  const { eras } = evaluation;
  const rows = shadedPlaces(evaluation);
  if (rows.length < fewestShaded) return [];
  const count = Math.min(120, eras.length);
  const column = new Float64Array(rows.length);
  const reaches = Array.from({ length: count }, (_, at) => {
    const era = count === 1 ? 0 : Math.round((at * (eras.length - 1)) / (count - 1));
    rows.forEach((row, at) => (column[at] = values[row * eras.length + era]));
    column.sort(); // NaN last
    const last = column.findLastIndex((sum) => !Number.isNaN(sum));
    return { era, last, reach: [column[Math.round(0.1 * last)], column[Math.round(0.9 * last)]] };
  });
  return reaches.filter(({ last }) => last >= 0);
}

// a line at the era under the pointer, and there every model's value
function pointAtEras(evaluation, chart, width, lines) {
  const { models, eras } = evaluation;
  pointAlong(chart, width, (share, event) => {
    if (share < -0.02 || share > 1.02) return null;
    const era = Math.min(eras.length - 1, Math.max(0, Math.round(share * (eras.length - 1))));
    const decimals = Math.min(4, eraDecimals(evaluation));
    const values = lines
      .filter(({ series }) => !Number.isNaN(series[era]))
      .map(({ row, series }) => [series[era], models[row]])
      .sort(([a], [b]) => b - a)
      .map(([value, name]) => `${signed(value, decimals)}  ${name}`);
    tip([eras[era], ...values].join("\n"), event);
    return era;
  });
}
