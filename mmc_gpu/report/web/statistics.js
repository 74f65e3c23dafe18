"use strict";

// The statistics of the score that is looked at, in a table of their own.

function showStatistics(evaluation) {
  const { models } = evaluation;
  const number = (name, title, className, show, { decimals, best = "high", hint = "" } = {}) => ({
    ...{ name, title, className, best, hint },
    show: (row) =>
      show(evaluation.table[name].values[row], decimals ?? evaluation.table[name].decimals),
  });
  const interval = (name, className, decimals) => ({
    title: "95 % interval",
    className: `range ${className}`,
    name: `${name}_low`,
    best: "high",
    hint: "of a block bootstrap, which allows for overlapping targets",
    ends: [`${name}_low`, `${name}_high`],
    show: (row) => {
      const [low, high] = [evaluation.table[`${name}_low`], evaluation.table[`${name}_high`]];
      return rangeText(low, high, row, decimals);
    },
  });
  const rank = { title: "Rank", className: "rank" };
  rank.show = (row) => counted(evaluation.table.rank.values[row]);
  const name = modelColumn(evaluation, () => evaluation.few);
  const columns = [
    rank,
    name,
    number("eras", "Eras", "narrow", counted),
    number("mean", "Mean", "number", signed),
    interval("mean", ""),
    number("std", "Std", "small", shown, { best: "low" }),
    number("sharpe", "Sharpe", "narrow returns", signed, { decimals: 2 }),
    interval("sharpe", "returns", 2),
    number("smart_sharpe", "Smart", "narrow returns", signed, {
      decimals: 2,
      hint: "Sharpe, less the more an era resembles the one before",
    }),
    number("max_drawdown", "Drawdown", "number returns", shown, { best: "low" }),
    number("positive", "> 0", "narrow returns", (share) => percent(share), {
      hint: "share of the eras above 0",
    }),
    number("p", "p", "narrow p", shown, {
      decimals: 3,
      best: "low",
      hint: "how often a true mean of 0 gives a mean as far from 0",
    }),
  ];
  const box = byId("statistics");
  let table = null;
  const fill = () => {
    const { table: of, order, standing, view } = evaluation;
    rank.values = placesOf(order);
    rank.saved = [
      ["target", models.map(() => view.target)],
      ["score", models.map(() => lookedAt(evaluation))],
      ["rank", of.rank.values],
    ];
    name.saved = "model";
    // exposures and the like have no Sharpe; that their mean is not 0 says nothing
    const hidden = standing.returns ? [] : ["returns", ...(evaluation.against ? [] : [" p"])];
    for (const column of columns) {
      if (!column.name) continue;
      column.values = of[column.name].values;
      const named = column.ends ?? [column.name];
      const left = hidden.some((name) => column.className.includes(name));
      column.saved = left ? [] : named.map((each) => [each, of[each].values]);
    }
    if (table && !table.sorted.saved.length) table.sorted = rank;
    box.classList.toggle("level", hidden.includes("returns"));
    box.classList.toggle("trivial", hidden.includes(" p"));
    columns[3].best = standing.better === "lower" ? "low" : "high";
    byId("statistics-of").textContent = lookedAt(evaluation);
    byId("statistics-said").textContent = evaluation.against
      ? "Differences are over the eras that both have."
      : `Models are compared ${standing.sentence}.`;
  };
  fill();
  table = new LongTable(box, columns, models.length, 1060);
  table.apart = (row) => evaluation.few.has(row);
  byId("statistics-csv").addEventListener("click", () => download("statistics", table.lines()));
  evaluation.listeners.push(() => {
    fill();
    table.arrange();
  });
  return table;
}
