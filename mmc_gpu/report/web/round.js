"use strict";

// The page of a round, from what report/rounds.py has gathered.

async function load() {
  const data = JSON.parse(byId("data").textContent);
  const view = data.views.find(({ target }) => target === linked("target")) ?? data.views[0];
  const order = await unpackIntegers(view.order);
  const columns = {};
  for (const [name, packed] of Object.entries(data.columns)) {
    const { values, decimals } = await unpackColumn(packed);
    columns[name] = { values: values.map((_, row) => values[order[row]]), decimals };
  }
  for (const [name, packed] of Object.entries(view.columns))
    columns[name] = await unpackColumn(packed);
  const { strips } = view;
  if (strips) {
    strips.values = await unpackIntegers(strips.values);
    strips.rows = await unpackIntegers(strips.rows);
    strips.place = new Map(Array.from(strips.rows, (row, at) => [row, at]));
  }
  const listed = await unpackTexts(data.users);
  const users = listed.map((_, row) => listed[order[row]]);
  return { ...data, view, strips, users, columns, groups: groupsOf(columns) };
}

// the rows of each group of users with the same scores; group 1 first
function groupsOf({ group }) {
  const groups = [];
  group.values.forEach((number, row) => {
    if (number) (groups[number - 1] ??= []).push(row);
  });
  return groups;
}

function showSummary({ summary, view, columns, meta_model: metaModel }) {
  const { decimals } = columns.mmc;
  const mean = (weights) => {
    let [sum, weight] = [0, 0];
    columns.mmc.values.forEach((value, row) => {
      if (Number.isNaN(value)) return;
      sum += weights(row) * value;
      weight += weights(row);
    });
    return sum / weight;
  };
  const [meanMmc, staked] = [mean(() => 1), mean((row) => columns.stake.values[row])];
  byId("about").textContent =
    (summary.round ? `${summary.round}: ` : "") +
    `${counted(summary.users)} users on ${counted(summary.stocks)} stocks; ` +
    `${several(summary.draws, "draw", "draws")} of ${percent(summary.sample, 0)} of the stakers; ` +
    `scored on ${summary.targets.join(", ")}`;
  const left = summary.quarantined;
  facts(byId("tiles"), [
    ["Users", counted(summary.users), `${counted(summary.stakers)} with a stake`],
    [
      "At stake",
      `${shown(summary.nmr, summary.nmr < 100 ? 2 : 0)} NMR`,
      `${shown(metaModel.effective, 1)} effective stakers`,
    ],
    [
      "Meta model’s CORR",
      signed(view.corr, 4),
      `draws: ${signed(view.corr_range[0], 4)} to ${signed(view.corr_range[1], 4)}`,
    ],
    [
      "Noise of an MMC",
      view.error === null ? "unknown" : `± ${shown(view.error, decimals)}`,
      `users differ by ± ${shown(view.spread, decimals)}`,
    ],
    ["Left out", counted(left), left ? "quarantined users" : "nobody was quarantined"],
  ]);
  byId("money").textContent =
    `Mean MMC ${signed(meanMmc, decimals)}; weighted by stake ${signed(staked, decimals)}.`;
}

// which target is shown: another one is shown by the address, and so by a link
function showTargets({ views, view, summary, users }) {
  const names = views.map(({ target }) => target);
  const box = byId("target");
  fillSelect(box, names, names.indexOf(view.target));
  box.parentElement.hidden = summary.targets.length === 1;
  const absent = summary.targets.filter((target) => !names.includes(target));
  byId("absent").textContent = absent.length
    ? `Not on this page: ${listed(absent, 5)}. mmc-gpu report --target shows one of them.`
    : "";
  box.addEventListener("change", () => {
    location.hash = link({ target: names[box.value], user: users[choice.row] });
  });
  addEventListener("hashchange", () => {
    const wanted = linked("target");
    if (names.includes(wanted) && wanted !== view.target) location.reload();
  });
}

function showScores({ users, columns }) {
  const { mmc, corr, stake } = columns;
  const describe = (row) =>
    `${users[row]}\nMMC ${signed(mmc.values[row], mmc.decimals)}, CORR ${signed(corr.values[row], 4)}` +
    (stake.values[row] ? `\n${shown(stake.values[row], 2)} NMR` : "");
  const yAxis = axis(mmc.values, { label: "MMC" });
  scatter("corr", () => ({
    xs: corr.values,
    ys: mmc.values,
    xAxis: axis(corr.values, { label: "CORR" }),
    yAxis,
    inset: 20, // free of dots: for the percentages
    describe,
    decorate: (chart) => showQuadrants(chart, mmc.values, corr.values),
  }));
  const logs = stake.values.map((value) => (value ? Math.log10(value) : NaN));
  const [low, high] = extent(logs);
  const none = Math.floor(low) - 1;
  scatter("stake", () => ({
    xs: logs.map((value, row) =>
      Number.isNaN(value) ? none + 0.3 * ((row * 0.618) % 1) - 0.15 : value,
    ),
    ys: mmc.values,
    xAxis: {
      label: "stake in NMR",
      low: none - 0.4,
      high: high + 0.2,
      ticks: [none, ...decades(low, high)],
      format: (tick) => (tick === none ? "none" : decadeText(tick)),
      lines: "none",
    },
    yAxis,
    describe,
  }));
  histogram("mmc", mmc.values, { label: "MMC" });
  histogram("corrs", corr.values, { label: "CORR" });
  const share = (values) => values.filter((value) => value > 0).length / values.length;
  byId("spread").textContent =
    `${percent(share(mmc.values), 0)} of the users have an MMC above 0. The line is the chosen user.`;
  byId("positive").textContent =
    `${percent(share(corr.values), 0)} of the users have a CORR above 0.`;
}

function decadeText(power) {
  if (power >= 6) return `${10 ** (power - 6)} M`;
  return power >= 0 ? counted(10 ** power) : shown(10 ** power, -power);
}

function showQuadrants(chart, mmc, corr) {
  const counts = [0, 0, 0, 0];
  mmc.forEach((value, row) => {
    if (!Number.isNaN(value + corr[row])) counts[2 * (value > 0) + (corr[row] > 0)]++;
  });
  counts.forEach((count, at) => {
    if (!count) return;
    const [right, up] = [at % 2, at > 1];
    const place = {
      x: right ? chart.right : chart.left + 6,
      y: up ? chart.top + 12 : chart.bottom - 6,
      "text-anchor": right ? "end" : "start",
    };
    const text = percent(count / mmc.length, 0);
    chart.picture.append(svg("text", { class: "quarter", ...place }, text));
  });
}

showPage(load, [
  showSummary,
  showTargets,
  showUser,
  showScores,
  showLeaderboard,
  showMetaModel,
  showQuality,
  showReceipt,
]);
