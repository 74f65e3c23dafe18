"use strict";

// The page of an evaluation, from what report/eras.py has gathered.

function showSummary(evaluation) {
  const { models, eras, quality, table, order, benchmarks, absent, scores } = evaluation;
  const [, rows] = quality.counts.find(([name]) => name === "rows");
  byId("about").textContent =
    `${several(models.length, "model", "models")}, ${benchmarks.length ? `${counted(benchmarks.length)} of them to compare with; ` : ""}` +
    `${several(eras.length, "era", "eras")}, ${eras[0]} to ${eras.at(-1)}; ${counted(rows)} rows`;
  const first = scores[0];
  const highest = (name) => {
    const { values } = table[name];
    return order.reduce((best, row) => (values[row] > values[best] ? row : best), order[0]);
  };
  const [sharpest, best] = [highest("sharpe"), order[0]];
  facts(byId("tiles"), [
    ["Models", counted(models.length), `${several(scores.length, "score", "scores")} each era`],
    ["Eras", counted(eras.length), `${eras[0]} to ${eras.at(-1)}`],
    [`Best mean ${first}`, signed(table.mean.values[best], 4), models[best]],
    ["Best Sharpe", signed(table.sharpe.values[sharpest], 2), models[sharpest]],
    ["Scores missing", counted(absent), absent ? "see data quality" : "none"],
  ]);
}

function showLook(evaluation) {
  const { scores, models, benchmarks, subtracted } = evaluation;
  fillSelect(byId("score"), scores);
  fillSelect(byId("against"), ["nothing", ...subtracted.map((row) => models[row])]);
  byId("against").parentElement.hidden = !subtracted.length;
  const left = benchmarks.length - subtracted.length;
  byId("left").textContent = left
    ? `The table of summaries compares with ${several(left, "more benchmark", "more benchmarks")}.`
    : "";
  const turn = () => look(evaluation, Number(byId("score").value), Number(byId("against").value));
  byId("score").addEventListener("change", turn);
  byId("against").addEventListener("change", turn);
}

function showScatters(evaluation) {
  const { models, scores } = evaluation;
  const read = (across, up, xLabel, yLabel) => ({
    xs: across.values,
    ys: up.values,
    xAxis: axis(across.values, { label: xLabel }),
    yAxis: axis(up.values, { label: yLabel }),
    describe: (row) =>
      `${models[row]}\n${yLabel} ${signed(up.values[row], up.decimals)}\n${xLabel} ${signed(across.values[row], across.decimals)}`,
  });
  const risk = scatter("risk", () => {
    const { mean, std } = evaluation.table;
    return read(std, mean, "standard deviation", "mean");
  });
  evaluation.listeners.push(risk);
  byId("others").parentElement.hidden = scores.length === 1;
  if (scores.length === 1) return;
  const names = () => [scores[evaluation.score], scores[evaluation.score ? 0 : 1]];
  const others = scatter("others", () => {
    const [up, across] = names();
    byId("others-title").textContent = `Mean ${up} against mean ${across}.`;
    return read(evaluation.other.mean, evaluation.table.mean, across, up);
  });
  evaluation.listeners.push(others);
}

// a row for each score, a column for each model that is compared
function showSideBySide(evaluation) {
  const { scores, models, own } = evaluation;
  const fill = () => {
    const rows = drawnModels(evaluation).map(({ row }) => row);
    const cell = ({ mean, sharpe, drawdown }, row) => [
      signed(mean.values[row], mean.decimals),
      element("small", {}, `Sharpe ${signed(sharpe.values[row], 2)}`),
      element("small", {}, `drawdown ${shown(drawdown.values[row], drawdown.decimals)}`),
    ];
    fillTable(
      byId("side"),
      [["Score", "text"], ...rows.map((row) => [models[row], "name"])],
      scores.map((name, score) => [name, ...rows.map((row) => cell(own[score], row))]),
    );
  };
  onChoice(fill);
  evaluation.view.listeners.push(fill);
  fill();
}

function showEraQuality({ quality, missing, models }) {
  const { codes, faults, listed, counts } = quality;
  const words = {
    without_target: "have no target",
    without_meta_model: "lack the meta model",
    without_benchmarks: "lack a benchmark",
    without_features: "lack a feature",
  };
  const lacking = counts.filter(([name, rows]) => name !== "rows" && rows);
  const gaps = Array.from(models.keys()).filter((row) => missing[row]);
  gaps.sort((a, b) => missing[b] - missing[a]);
  byId("quality").replaceChildren(
    ...lacking.map(([name, rows, eras]) =>
      paragraph(
        `${several(rows, "row", "rows")} in ${several(eras, "era", "eras")} ${words[name]}.`,
      ),
    ),
    paragraph(
      gaps.length
        ? `${several(gaps.length, "model misses", "models miss")} predictions; nothing is filled: ${listedModels(gaps, models, missing)}.`
        : "No prediction is missing.",
    ),
    ...(faults
      ? [
          paragraph("Scores that are missing, by reason:"),
          ...faultParts(
            codes,
            ["score", "scores"],
            listed.length < faults
              ? `Where, and why: the first ${counted(listed.length)}; faults.csv has all`
              : "Where, and why",
            [
              ["Era", "text"],
              ["Model", "text"],
              ["Scores", "text"],
              ["Fault", "text long"],
            ],
            listed,
          ),
        ]
      : [paragraph("Every score that could be computed is there.")]),
  );
}

function listedModels(rows, models, missing) {
  return listed(
    rows.map((row) => `${models[row]} ${counted(missing[row])}`),
    8,
  );
}

showPage(loadEvaluation, [
  showSummary,
  showLook,
  showModels,
  showLines,
  showHeat,
  showScatters,
  showSideBySide,
  showEraQuality,
  showReceipt,
]);
