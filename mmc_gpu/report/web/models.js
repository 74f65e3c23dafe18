"use strict";

// The models: a table, the chosen one beside it, and the few that are compared.

const mostCompared = 5; // colours that are told apart

// the first benchmark and the best models, to begin with
function firstCompared({ benchmarks, order, place }) {
  const best = order.filter((row) => !benchmarks.includes(row) && place.has(row)).slice(0, 4);
  return [...best.slice(0, 4), ...benchmarks.slice(0, 1)];
}

// slot: its colour; the one compared longest gives way
function compare(evaluation, row) {
  const { compared } = evaluation.view;
  const at = compared.findIndex((one) => one.row === row);
  if (at >= 0) compared.splice(at, 1);
  else {
    if (compared.length === mostCompared) compared.shift();
    const taken = compared.map((one) => one.slot);
    compared.push({ row, slot: [0, 1, 2, 3, 4].find((slot) => !taken.includes(slot)) });
  }
  for (const listener of evaluation.view.listeners) listener();
}

// what lines are drawn: those compared, and on top the chosen one
function drawnModels({ view, place }) {
  const drawn = view.compared
    .filter(({ row }) => row !== choice.row)
    .map(({ row, slot }) => ({ row, className: `share-${slot}` }));
  return [...drawn, { row: choice.row, className: "share-chosen" }].filter(({ row }) =>
    place.has(row),
  );
}

function showModels(evaluation) {
  const { models, benchmarks, place } = evaluation;
  const view = { compared: [], listeners: [] };
  evaluation.view = view;
  for (const row of firstCompared(evaluation)) compare(evaluation, row);
  const isCompared = (row) => view.compared.some((one) => one.row === row);
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
  const number = (name, title, className, show, decimals, best = "high") => ({
    name,
    title,
    className,
    best,
    show: (row) =>
      show(evaluation.table[name].values[row], decimals ?? evaluation.table[name].decimals),
  });
  const columns = [
    { title: "Rank", className: "rank", show: (row) => counted(evaluation.table.rank.values[row]) },
    { title: "", hint: "compare", className: "tick", show: tick, best: "high" },
    {
      title: "Model",
      className: "text",
      values: models,
      show: (row) => models[row] + (benchmarks.includes(row) ? " (benchmark)" : ""),
    },
    number("mean", "Mean", "number", signed),
    number("std", "Std", "small roomy", shown, undefined, "low"),
    number("sharpe", "Sharpe", "narrow", signed, 2),
    number("smart", "Smart", "narrow roomy", signed, 2),
    number("drawdown", "Drawdown", "number roomy", shown, undefined, "low"),
    number("positive", "> 0", "narrow roomy", (share) => percent(share)),
  ];
  columns[6].hint = "smart Sharpe: less, the more an era resembles the one before";
  columns[8].hint = "share of the eras above 0";
  const fill = () => {
    for (const column of columns) {
      if (column.name) column.values = evaluation.table[column.name].values;
    }
    columns[0].values = evaluation.table.rank.values;
    columns[1].values = Float64Array.from(models, (_, row) => (isCompared(row) ? 1 : 0));
  };
  fill();
  const table = new LongTable(byId("models"), columns, models.length);
  searchTable(table, models, ["model", "models"]);
  evaluation.listeners.push(() => {
    fill();
    table.arrange();
  });
  view.listeners.push(() => {
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

function showModel(evaluation) {
  const { models, eras, benchmarks, missing } = evaluation;
  const draw = figure("own", (width) => eraBars(evaluation, width), true);
  const tell = () => {
    const row = choice.row;
    const { table } = evaluation;
    const of = (name, show, decimals) =>
      show(table[name].values[row], decimals ?? table[name].decimals);
    showName(models[row], { model: models[row] });
    const pairs = [
      ["Rank", `${of("rank", counted)} of ${counted(models.length)}`],
      ["Mean", of("mean", signed)],
      ["Std", of("std", shown)],
      ["Sharpe", `${of("sharpe", signed, 2)}, smart ${of("smart", signed, 2)}`],
      ["Drawdown", of("drawdown", shown)],
      ["Autocorrelation", of("autocorr", signed)],
      ["Eras", `${of("eras", counted)} of ${counted(eras.length)}`],
    ];
    if (benchmarks.includes(row)) pairs.push(["Role", "benchmark"]);
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
    ["Best era", text(high)],
    ["Worst era", text(low)],
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
    { zero: true, count: 4 },
  );
  const chart = frame(width, 190, { ...eraAxis(evaluation, 0.5), label: "" }, yAxis, {
    left: 48,
    top: 8,
    bottom: 24,
  });
  bars.forEach((value, bar) => {
    if (Number.isNaN(value)) return;
    const [from, to] = [chart.x(bar * together - 0.5), chart.x((bar + 1) * together - 0.5)];
    const [one, other] = [chart.y(0), chart.y(value)];
    const place = { x: from, width: Math.max(0.5, (to - from) * 0.85) };
    const shape = { ...place, y: Math.min(one, other), height: Math.abs(one - other) };
    chart.picture.append(svg("rect", { class: value < 0 ? "bar below" : "bar", ...shape }));
  });
  return chart.picture;
}

function meanOf(values) {
  const known = values.filter((value) => !Number.isNaN(value));
  return known.length ? known.reduce((sum, value) => sum + value, 0) / known.length : NaN;
}
