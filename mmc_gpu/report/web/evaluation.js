"use strict";

// The page of an evaluation, from what report/eras.py has gathered.

function showSummary(evaluation) {
  const { models, eras, view, benchmarks, absent, scores } = evaluation;
  const [, rows] = view.counts.find(([name]) => name === "rows");
  byId("about").textContent =
    `${several(models.length, "model", "models")}, ${benchmarks.length ? `${counted(benchmarks.length)} of them to compare with; ` : ""}` +
    `${several(eras.length, "era", "eras")}, ${eras[0]} to ${eras.at(-1)}; ${counted(rows)} rows`;
  const tell = () => {
    const { standing, table, order, few, score } = evaluation;
    const able = order.filter((row) => !few.has(row) && !Number.isNaN(table.rank.values[row]));
    const none = [`Best mean ${scores[score]}`, "–", "no model is called best"];
    const best = (title, name, rows, decimals) => {
      const { values } = table[name];
      const known = rows.filter((row) => !Number.isNaN(values[row]));
      if (!known.length) return none;
      const row = known.reduce((best, each) => (values[each] > values[best] ? each : best));
      return [title, signed(values[row], decimals), models[row]];
    };
    facts(byId("tiles"), [
      ["Models", counted(models.length), `${several(scores.length, "score", "scores")} each era`],
      ["Eras", counted(eras.length), `${eras[0]} to ${eras.at(-1)}`],
      best(`Best mean ${lookedAt(evaluation)}`, "mean", able.slice(0, 1), 4),
      ...(standing.returns ? [best("Best Sharpe", "sharpe", able, 2)] : []),
      ["Scores missing", counted(absent), absent ? "see data quality" : "none"],
    ]);
  };
  evaluation.listeners.push(tell);
  tell();
}

function showLook(evaluation) {
  const { scores, models, benchmarks, subtracted, targets, views } = evaluation;
  const names = views.map(({ target }) => target);
  fillSelect(byId("target"), names, evaluation.target);
  fillSelect(byId("score"), scores);
  fillSelect(byId("against"), ["nothing", ...subtracted.map((row) => models[row])]);
  byId("target").parentElement.hidden = targets.length === 1;
  byId("against").parentElement.hidden = !subtracted.length;
  const left = benchmarks.length - subtracted.length;
  const absent = targets.filter((target) => !names.includes(target));
  byId("left").textContent = [
    left
      ? `The table of summaries compares with ${several(left, "more benchmark", "more benchmarks")}.`
      : "",
    absent.length
      ? `Not on this page: ${listed(absent, 5)}; mmc-gpu report --target shows one of them.`
      : "",
  ].join(" ");
  const boxes = ["target", "score", "against"].map(byId);
  const turn = () => look(evaluation, ...boxes.map((box) => Number(box.value)));
  for (const box of boxes) box.addEventListener("change", turn);
  addEventListener("hashchange", () => {
    const wanted = targetOf(evaluation, linked("target"));
    if (wanted < 0 || wanted === evaluation.target) return;
    boxes[0].value = wanted;
    turn();
  });
}

function showScatters(evaluation) {
  const { models, scores } = evaluation;
  const read = (across, up, xLabel, yLabel) => ({
    xs: across.values.map((value, row) => (evaluation.few.has(row) ? NaN : value)),
    ys: up.values,
    xAxis: axis(compared(across), { label: xLabel }),
    yAxis: axis(compared(up), { label: yLabel }),
    describe: (row) =>
      `${models[row]}\n${yLabel} ${signed(up.values[row], up.decimals)}\n${xLabel} ${signed(across.values[row], across.decimals)}`,
  });
  const compared = ({ values }) => values.filter((_, row) => !evaluation.few.has(row));
  const risk = scatter("risk", () => {
    const { mean, std } = evaluation.table;
    const { returns, better } = evaluation.standing;
    byId("risk-note").textContent =
      returns && better === "higher" ? "Top left: much, and steadily." : "Each dot is a model.";
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
  const { scores, models } = evaluation;
  const fill = () => {
    const { own, view } = evaluation;
    const rows = drawnModels(evaluation).map(({ row }) => row);
    const small = (words) => element("small", {}, words);
    const cell = (score, row) => {
      const { mean, sharpe, max_drawdown: drawdown, eras } = own[score];
      const returns = [
        small(`Sharpe ${signed(sharpe.values[row], 2)}`),
        small(`drawdown ${shown(drawdown.values[row], drawdown.decimals)}`),
      ];
      return [
        signed(mean.values[row], mean.decimals),
        ...(view.standings[score].returns ? returns : []),
        small(several(eras.values[row], "era", "eras")),
      ];
    };
    fillTable(
      byId("side"),
      [["Score", "text"], ...rows.map((row) => [cut(models[row]), "name"])],
      scores.map((name, score) => [cut(name), ...rows.map((row) => cell(score, row))]),
    );
  };
  onChoice(fill);
  evaluation.listeners.push(fill);
  evaluation.comparing.listeners.push(fill);
  fill();
}

function showEraQuality({ quality, missing, models, views, targets }) {
  const { codes, faults, listed } = quality;
  const words = {
    without_target: "have no target",
    without_meta_model: "lack the meta model",
    without_benchmarks: "lack a benchmark",
    without_features: "lack a feature",
  };
  const manyTargets = targets.length > 1;
  const lacking = views.flatMap(({ target, counts }, at) =>
    counts
      .filter(([name, rows]) => rows && (at === 0 ? words[name] : name === "without_target"))
      .map(([name, rows, eras]) => [
        rows,
        eras,
        name === "without_target" && manyTargets ? `have no ${target}` : words[name],
      ]),
  );
  const gaps = Array.from(models.keys()).filter((row) => missing[row]);
  gaps.sort((a, b) => missing[b] - missing[a]);
  byId("quality").replaceChildren(
    ...lacking.map(([rows, eras, what]) =>
      paragraph(`${several(rows, "row", "rows")} in ${several(eras, "era", "eras")} ${what}.`),
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
              ["Target", "text"],
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
