"use strict";

// Scores over eras, and what is looked at: one score, of itself or less a benchmark's. `look`
// computes what every part of the page shows of it, and tells them.

async function loadEvaluation() {
  const data = JSON.parse(byId("data").textContent);
  const kept = await unpackIntegers(data.series.rows);
  const evaluation = {
    ...data,
    models: await unpackTexts(data.models),
    eras: await unpackTexts(data.eras),
    missing: (await unpackColumn(data.missing)).values,
    kept, // the models whose eras are on the page
    place: new Map(Array.from(kept, (row, at) => [row, at])),
    unpacked: new Map(),
    own: [], // every score's summary
    listeners: [],
  };
  for (const score of data.scores.keys())
    evaluation.own.push(await summaryOf(evaluation, score, 0));
  await look(evaluation, 0, 0);
  choose(evaluation.order[0]);
  return evaluation;
}

// against: 0 for the score itself, else a place in `subtracted`, from 1
async function look(evaluation, score, against) {
  const { scores } = evaluation;
  evaluation.wanted = `${score} ${against}`;
  const steps = await unpackOnce(evaluation, `steps ${score}`, async () => {
    const { step, steps } = evaluation.series.scores[score];
    return { step, steps: await unpackIntegers(steps) };
  });
  const table = await summaryOf(evaluation, score, against);
  const other = scores.length > 1 ? await summaryOf(evaluation, score ? 0 : 1, against) : null;
  if (evaluation.wanted !== `${score} ${against}`) return; // something else by now
  const order = [];
  table.rank.values.forEach((rank, row) => (order[rank - 1] = row));
  const benchmark = against ? evaluation.place.get(evaluation.subtracted[against - 1]) : -1;
  const values = valuesOf(steps, evaluation.eras.length, benchmark);
  const sums = runningSums(values, evaluation.eras.length);
  const { step } = steps;
  Object.assign(evaluation, { score, against, table, other, order, values, sums, step });
  for (const listener of evaluation.listeners) listener();
}

async function unpackOnce({ unpacked }, name, unpacking) {
  if (!unpacked.has(name)) unpacked.set(name, await unpacking());
  return unpacked.get(name);
}

function summaryOf(evaluation, score, against) {
  return unpackOnce(evaluation, `table ${score} ${against}`, async () => {
    const columns = {};
    for (const [name, packed] of Object.entries(evaluation.tables[score][against]))
      columns[name] = await unpackColumn(packed);
    return columns;
  });
}

// (kept models, eras), less those of the benchmark at a place
function valuesOf({ step, steps }, eras, benchmark) {
  const known = (at) => (steps[at] === -(2 ** 31) ? NaN : steps[at] * step);
  const start = benchmark * eras;
  return Float32Array.from(steps, (_, at) =>
    benchmark < 0 ? known(at) : known(at) - known(start + (at % eras)),
  );
}

// an era without a score adds nothing, and is a gap
function runningSums(values, eras) {
  let sum = 0;
  return values.map((value, at) => {
    if (at % eras === 0) sum = 0;
    if (Number.isNaN(value)) return NaN;
    return (sum += value);
  });
}

function erasOf({ place, eras }, table, row) {
  const at = place.get(row);
  return at === undefined ? null : table.subarray(at * eras.length, (at + 1) * eras.length);
}

// how far the running sum is below its highest so far
function drawdowns(sums) {
  let highest = -Infinity;
  return sums.map((sum) => {
    if (sum > highest) highest = sum;
    return sum - highest; // of NaN, NaN
  });
}

function lookedAt({ scores, score, against, subtracted, models }) {
  return scores[score] + (against ? ` less that of ${models[subtracted[against - 1]]}` : "");
}

// eras on a horizontal axis, by their names
function eraAxis({ eras }, half = 0) {
  const across = axis([0, Math.max(1, eras.length - 1)], { label: "era", count: 8, room: 0 });
  const ticks = across.ticks.filter((tick) => Number.isInteger(tick) && tick < eras.length);
  return {
    ...across,
    low: -half,
    high: Math.max(eras.length - 1 + half, 1e-9),
    ticks,
    format: (tick) => eras[tick],
    lines: "none",
  };
}

const eraDecimals = ({ step }) => Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
