"use strict";

// The models: a table of their means, the chosen one beside it, and the few that are compared.

const mostCompared = 5; // colours that are told apart

// the first benchmark and the best models, to begin with
function firstCompared({ benchmarks, order, few, place }) {
  const best = order.filter((row) => ![...benchmarks, ...few.keys()].includes(row));
  return [...best.filter((row) => place.has(row)).slice(0, 4), ...benchmarks.slice(0, 1)];
}

// slot: its colour; the one compared longest gives way
function compare(evaluation, row) {
  const { compared, listeners } = evaluation.comparing;
  const at = compared.findIndex((one) => one.row === row);
  if (at >= 0) compared.splice(at, 1);
  else {
    if (compared.length === mostCompared) compared.shift();
    const taken = compared.map((one) => one.slot);
    compared.push({ row, slot: [0, 1, 2, 3, 4].find((slot) => !taken.includes(slot)) });
  }
  for (const listener of listeners) listener();
}

// what lines are drawn: those compared, and on top the chosen one
function drawnModels({ comparing, place }) {
  const drawn = comparing.compared
    .filter(({ row }) => row !== choice.row)
    .map(({ row, slot }) => ({ row, className: `share-${slot}` }));
  return [...drawn, { row: choice.row, className: "share-chosen" }].filter(({ row }) =>
    place.has(row),
  );
}

// places in an order, by row: what a table without a heading that is clicked is sorted by
function placesOf(order) {
  const places = new Float64Array(order.length);
  order.forEach((row, at) => (places[row] = at));
  return places;
}

// one row a model and one column a score, best first in the first score; below them, apart, those
// with too few eras
function showModels(evaluation) {
  const { models, benchmarks, place, scores } = evaluation;
  const comparing = { compared: [], listeners: [] };
  evaluation.comparing = comparing;
  for (const row of firstCompared(evaluation)) compare(evaluation, row);
  const isCompared = (row) => comparing.compared.some((one) => one.row === row);
  const tick = (row) => {
    const box = element("input", {
      type: "checkbox",
      checked: isCompared(row),
      disabled: !place.has(row),
      ariaLabel: `compare ${models[row]}`,
    });
    box.addEventListener("click", (event) => event.stopPropagation());
    box.addEventListener("change", () => compare(evaluation, row));
    return box;
  };
  const rank = { title: "Rank", className: "rank" };
  rank.show = (row) => counted(evaluation.own[0].rank.values[row]);
  const ticks = { title: "", hint: "compare", className: "tick", show: tick, best: "high" };
  const name = modelColumn(evaluation, () => evaluation.fewFirst);
  const eras = { title: "Eras", hint: `of ${scores[0]}`, className: "eras", best: "high" };
  eras.show = (row) =>
    evaluation.fewFirst.get(row)?.replace(/^.*: /, "") ??
    counted(evaluation.own[0].eras.values[row]);
  const means = scores.map((title, score) => ({
    title,
    className: "number",
    hint: `mean ${title}`,
    show: (row) => {
      const { mean, eras } = evaluation.own[score];
      const why = Number.isNaN(means[score].values[row]) && means[score].few.get(row);
      const words = why ? why.replace(/^.*: /, "") : signed(mean.values[row], mean.decimals);
      const hint = why || `over ${several(eras.values[row], "era", "eras")}`;
      return element("span", { title: hint, className: why ? "why" : "" }, words);
    },
  }));
  const columns = [rank, ticks, name, eras, ...means];
  const fill = () => {
    const { own, fewFirst, view } = evaluation;
    rank.values = placesOf(own[0].order);
    rank.saved = [
      ["target", models.map(() => view.target)],
      ["rank", own[0].rank.values],
    ];
    ticks.values = Float64Array.from(models, (_, row) => (isCompared(row) ? 1 : 0));
    eras.values = own[0].eras.values;
    const kind = models.map((_, row) => (benchmarks.includes(row) ? "benchmark" : "model"));
    name.saved = [
      ["model", models],
      ["kind", kind],
    ];
    eras.saved = [
      ["eras", eras.values],
      ["note", models.map((_, row) => fewFirst.get(row) ?? "")],
    ];
    means.forEach((column, score) => {
      const { better } = view.standings[score];
      column.best = better === "lower" ? "low" : "high";
      column.few = fewOf(view.standings[score], own[score]);
      column.values = own[score].mean.values.map((mean, row) =>
        column.few.has(row) && !fewFirst.has(row) ? NaN : mean,
      );
      column.saved = [
        [column.title, column.values],
        ...(score ? [[`eras_${column.title}`, own[score].eras.values]] : []),
      ];
    });
    byId("said").replaceChildren(...said(evaluation));
  };
  fill();
  const table = new LongTable(byId("models"), columns, models.length, 264 + 60 * (innerWidth > 640) + 92 * scores.length);
  table.apart = (row) => evaluation.fewFirst.has(row);
  const statistics = showStatistics(evaluation);
  searchTable(table, models, ["model", "models"], undefined, [statistics]);
  evaluation.listeners.push(() => {
    fill();
    table.arrange();
  });
  comparing.listeners.push(() => {
    fill();
    const focused = document.activeElement?.closest?.("tr[data-row]")?.dataset.row;
    table.draw();
    if (focused) byId("models").querySelector(`tr[data-row="${focused}"] input`)?.focus();
  });
  byId("models").addEventListener("keydown", (event) => {
    if (event.key !== " " || event.target !== byId("models")) return;
    event.preventDefault();
    if (place.has(choice.row)) compare(evaluation, choice.row);
  });
  showModel(evaluation);
}

function modelColumn({ models, benchmarks }, few) {
  return {
    title: "Model",
    className: "text",
    values: models,
    show: (row) => {
      const why = few().get(row) ?? (benchmarks.includes(row) ? "benchmark" : "");
      return cut(models[row], why && ` (${why})`);
    },
  };
}

// over which eras models are compared, and how the meta model itself does
function said({ view, scores }) {
  const own = view.standings.flatMap(({ meta: [mean, eras] }, score) =>
    eras
      ? [
          `the meta model’s own ${scores[score]}: ${signed(mean, 5)} over ${several(eras, "era", "eras")}`,
        ]
      : [],
  );
  return [...view.said, ...own].map((words) => element("li", {}, words));
}

function showModel(evaluation) {
  const { models, eras, benchmarks, missing } = evaluation;
  const draw = figure("own", (width) => eraBars(evaluation, width), true);
  const tell = () => {
    const row = choice.row;
    const { table, few, standing, views, view } = evaluation;
    const of = (name, show, decimals) =>
      show(table[name].values[row], decimals ?? table[name].decimals);
    const range = (name, decimals) =>
      rangeText(table[`${name}_low`], table[`${name}_high`], row, decimals);
    const target = view === views[0] ? {} : { target: view.target };
    showName(models[row], { ...target, model: models[row] });
    const ranked = table.rank.values.filter((rank) => !Number.isNaN(rank)).length;
    const place = Number.isNaN(table.rank.values[row])
      ? `none: ${few.get(row) ?? (benchmarks.includes(row) ? "a benchmark" : "no value is the better one")}`
      : `${of("rank", counted)} of ${counted(ranked)}`;
    const returns = [
      ["Sharpe", `${of("sharpe", signed, 2)}, smart ${of("smart_sharpe", signed, 2)}`],
      ["95 % interval", range("sharpe", 2)],
      ["Drawdown", of("max_drawdown", shown)],
    ];
    const pairs = [
      ["Score", lookedAt(evaluation)],
      ["Rank", place],
      ["Eras", `${of("eras", counted)} of ${counted(eras.length)}`],
      ["Mean", of("mean", signed)],
      ["95 % interval", range("mean")],
      ["Std", of("std", shown)],
      ...(standing.returns ? returns : []),
      ["Autocorrelation", of("autocorrelation", signed)],
    ];
    if (missing[row]) pairs.push(["Missing", several(missing[row], "prediction", "predictions")]);
    const own = erasOf(evaluation, evaluation.values, row);
    if (own) pairs.push(...extremeEras(evaluation, own));
    facts(byId("facts"), pairs);
  };
  onChoice(tell);
  evaluation.listeners.push(tell, draw);
  tell();
}

function extremeEras(evaluation, own) {
  let [low, high] = [-1, -1];
  own.forEach((value, at) => {
    if (Number.isNaN(value)) return;
    if (low < 0 || value < own[low]) low = at;
    if (high < 0 || value > own[high]) high = at;
  });
  if (low < 0) return [];
  const text = (at) => `${signed(own[at], eraDecimals(evaluation))} in ${evaluation.eras[at]}`;
  return [
    ["Highest", text(high)],
    ["Lowest", text(low)],
  ];
}

// the chosen model's eras, or means of as many eras as share a bar
function eraBars(evaluation, width) {
  const own = erasOf(evaluation, evaluation.values, choice.row);
  if (!own) {
    byId("own-note").textContent =
      "This page holds the eras of the benchmarks and of the best models; the table of eras has everybody’s.";
    return svg("svg");
  }
  const together = Math.ceil(own.length / (width / 2));
  byId("own-note").textContent =
    lookedAt(evaluation) +
    (together > 1 ? `, means of ${counted(together)} eras.` : ", era by era.");
  const bars = Array.from({ length: Math.ceil(own.length / together) }, (_, bar) =>
    meanOf(own.subarray(bar * together, (bar + 1) * together)),
  );
  const yAxis = axis(
    bars.filter((value) => !Number.isNaN(value)),
    { zero: true, count: 5 },
  );
  const chart = frame(width, 190, { ...eraAxis(evaluation, 0.5), label: "" }, yAxis, {
    left: 48,
    top: 8,
    bottom: 24,
  });
  bars.forEach((value, at) => {
    if (Number.isNaN(value)) return;
    const [from, to] = [chart.x(at * together - 0.5), chart.x((at + 1) * together - 0.5)];
    bar(chart, value < 0 ? "bar below" : "bar", from, Math.max(0.5, (to - from) * 0.85), value);
  });
  return chart.picture;
}

function meanOf(values) {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
}
