"use strict";

// Scores over eras, and what is looked at: a score on a target, of itself or less a benchmark's.
// `look` computes what every part of the page shows of it, and tells them.

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
    listeners: [],
  };
  await look(evaluation, Math.max(0, targetOf(data, linked("target"))), 0, 0);
  choose(evaluation.order[0]);
  return evaluation;
}

const targetOf = ({ views }, name) => views.findIndex(({ target }) => target === name);

// target and score by their numbers; against: 0 for the score itself, else a place in
// `subtracted`, from 1
async function look(evaluation, target, score, against) {
  const { scores, views, series } = evaluation;
  const wanted = `${target} ${score} ${against}`;
  evaluation.wanted = wanted;
  const steps = await unpackOnce(evaluation, `steps ${target} ${score}`, async () => {
    const { step, steps } = series.scores[target][score];
    return { step, steps: await unpackIntegers(steps) };
  });
  const table = await summaryOf(evaluation, target, score, against);
  const second = score ? 0 : 1;
  const other = scores[second] && (await summaryOf(evaluation, target, second, against));
  const own = []; // every score's summary
  for (const each of scores.keys()) own.push(await summaryOf(evaluation, target, each, 0));
  if (evaluation.wanted !== wanted) return; // something else by now
  const view = views[target];
  const standing = view.standings[score];
  const { order } = table;
  // those with too few eras, in this score and in the first, by whose order the models stand
  const few = fewOf(standing, own[score]);
  const fewFirst = fewOf(view.standings[0], own[0]);
  const benchmark = against ? evaluation.place.get(evaluation.subtracted[against - 1]) : -1;
  const values = valuesOf(steps, evaluation.eras.length, benchmark);
  const sums = runningSums(values, evaluation.eras.length);
  const { step } = steps;
  Object.assign(evaluation, { target, score, against, view, standing, table, other, own, order });
  Object.assign(evaluation, { few, fewFirst, values, sums, step });
  for (const listener of evaluation.listeners) listener();
}

// why models are not compared, by their rows
const fewOf = ({ notes }, { order }) =>
  new Map(notes.map((note, at) => [order[order.length - notes.length + at], note]));

async function unpackOnce({ unpacked }, name, unpacking) {
  if (!unpacked.has(name)) unpacked.set(name, await unpacking());
  return unpacked.get(name);
}

function summaryOf(evaluation, target, score, against) {
  return unpackOnce(evaluation, `table ${target} ${score} ${against}`, async () => {
    const { order, ...packed } = evaluation.views[target].standings[score].tables[against];
    const columns = { order: Array.from(await unpackIntegers(order)) };
    for (const [name, column] of Object.entries(packed)) columns[name] = await unpackColumn(column);
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

const rollingWindow = (eras) => Math.max(1, Math.round(eras / 20));

// means of each era and those before it, of scores that do not add up
function rollingMeans(values, eras) {
  const size = rollingWindow(eras);
  return values.map((value, at) => {
    if (Number.isNaN(value)) return NaN;
    return meanOf(values.subarray(Math.max(at - (at % eras), at - size + 1), at + 1));
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

function lookedAt({ scores, score, against, subtracted, models, view, views }) {
  const on = views.length > 1 ? ` on ${view.target}` : "";
  const less = against ? ` less that of ${models[subtracted[against - 1]]}` : "";
  return scores[score] + on + less;
}

// "+0.0123 to +0.0345", to a digit less than scores are shown
function rangeText(low, high, row, given) {
  const decimals = given ?? (low.decimals > 0 ? low.decimals - 1 : low.decimals);
  const ends = [low, high].map(({ values }) => values[row]);
  return ends.some(Number.isNaN) ? "–" : ends.map((end) => signed(end, decimals)).join(" to ");
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
