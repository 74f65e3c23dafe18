"use strict";

// The page of a round, from what round_report.py has gathered.

const DATA = JSON.parse(byId("data").textContent);

async function load() {
  const columns = {};
  for (const [name, packed] of Object.entries(DATA.columns)) columns[name] = await unpackColumn(packed);
  const { strips } = DATA;
  if (strips) {
    strips.values = await unpackIntegers(strips.values);
    strips.rows = await unpackIntegers(strips.rows);
    strips.place = new Map(Array.from(strips.rows, (row, at) => [row, at]));
  }
  const users = await unpackTexts(DATA.users);
  return { users, columns, strips, summary: DATA.summary, level: DATA.level };
}

function showSummary({ summary, columns }) {
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
  const others = summary.others.length ? ` (this page) and ${summary.others.join(", ")}` : "";
  byId("about").textContent =
    `${counted(summary.users)} users on ${counted(summary.stocks)} stocks; ` +
    `${several(summary.draws, "draw", "draws")} of ${percent(summary.sample, 0)} of the stakers; ` +
    `scored on ${summary.target}${others}`;
  const left = summary.quarantined;
  facts(byId("tiles"), [
    ["Users", counted(summary.users), `${counted(summary.stakers)} with a stake`],
    ["At stake", `${shown(summary.nmr, summary.nmr < 100 ? 2 : 0)} NMR`, `${shown(DATA.meta_model.effective, 1)} effective stakers`],
    ["Meta model’s CORR", signed(summary.corr, 4), `draws: ${signed(summary.corr_range[0], 4)} to ${signed(summary.corr_range[1], 4)}`],
    ["Noise of an MMC", summary.error === null ? "unknown" : `± ${shown(summary.error, decimals)}`, `users differ by ± ${shown(summary.spread, decimals)}`],
    ["Left out", counted(left), left ? "quarantined users" : "nobody was quarantined"],
  ]);
  byId("money").textContent =
    `Mean MMC ${signed(mean(() => 1), decimals)}; ` +
    `weighted by stake ${signed(mean((row) => columns.stake.values[row]), decimals)}.`;
}

function showScores({ users, columns }) {
  const { mmc, corr, stake } = columns;
  const describe = (row) =>
    `${users[row]}\nMMC ${signed(mmc.values[row], mmc.decimals)}, CORR ${signed(corr.values[row], 4)}` +
    (stake.values[row] ? `\n${shown(stake.values[row], 2)} NMR` : "");
  const yAxis = axis(mmc.values, { label: "MMC", zero: true });
  scatter("corr", {
    xs: corr.values,
    ys: mmc.values,
    xAxis: axis(corr.values, { label: "CORR", zero: true }),
    yAxis,
    describe,
    decorate: (chart) => showQuadrants(chart, mmc.values, corr.values),
  });
  const logs = stake.values.map((value) => (value ? Math.log10(value) : NaN));
  const [low, high] = extent(logs);
  const none = Math.floor(low) - 1;
  scatter("stake", {
    xs: logs.map((value, row) => (Number.isNaN(value) ? none + 0.3 * ((row * 0.618) % 1) - 0.15 : value)),
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
  });
  histogram("mmc", mmc.values, { label: "MMC" });
  histogram("corrs", corr.values, { label: "CORR" });
  const share = (values) => values.filter((value) => value > 0).length / values.length;
  byId("spread").textContent = `${percent(share(mmc.values), 0)} of the users add to the meta model. The line is the chosen user.`;
  byId("positive").textContent = `${percent(share(corr.values), 0)} of the users predicted the target.`;
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
    const [right, up] = [at % 2, at > 1];
    const place = { x: right ? chart.right : chart.left + 6, y: up ? chart.top - 8 : chart.bottom - 6 };
    const text = percent(count / mmc.length, 0);
    chart.picture.append(svg("text", { ...place, "text-anchor": right ? "end" : "start" }, text));
  });
}

function showQuality({ users, columns, summary }) {
  const { codes, quarantined, notes } = DATA.quality;
  const parts = [];
  const part = (text, headings, rows) => {
    const table = element("table");
    if (rows.length) fillTable(table, headings, rows);
    parts.push(element("div", {}, element("p", {}, text), element("div", { className: "wide" }, table)));
  };
  const left = summary.quarantined;
  part(
    left ? `${several(left, "user was", "users were")} quarantined: no score, and no part in anybody else’s.` : "Nobody was quarantined.",
    [["Code", "text"], ["Users"], ["Meaning", "text long"], ["Remedy", "text long"]],
    codes.map(([code, times, ...texts]) => [code, counted(times), ...texts]),
  );
  if (left) {
    const heading = quarantined.length < left ? `The first ${counted(quarantined.length)}; quarantine.csv has all:` : "Who, and why:";
    part(heading, [["User", "text"], ["Fault", "text long"]], quarantined);
  }
  const filled = Array.from(users.keys()).filter((row) => columns.filled.values[row]);
  filled.sort((a, b) => columns.filled.values[b] - columns.filled.values[a]);
  part(
    filled.length ? `${several(filled.length, "user", "users")} had missing predictions filled with their lower median.` : "No prediction was missing and filled.",
    [["User", "text"], ["Filled"]],
    filled.slice(0, 10).map((row) => [users[row], counted(columns.filled.values[row])]),
  );
  const groups = [];
  columns.group.values.forEach((group, row) => {
    if (group) (groups[group - 1] ??= []).push(row);
  });
  groups.sort((a, b) => b.length - a.length);
  const alike = groups.reduce((sum, group) => sum + group.length, 0);
  part(
    groups.length
      ? `${several(groups.length, "group", "groups")} of users have identical scores, ${counted(alike)} users in all: their submissions rank the stocks alike.`
      : "No two users have identical scores.",
    [["Users"], ["MMC"], ["Who", "text long"]],
    groups.slice(0, 10).map((group) => [
      counted(group.length),
      signed(columns.mmc.values[group[0]], columns.mmc.decimals),
      group.slice(0, 12).map((row) => users[row]).join(", ") + (group.length > 12 ? ` and ${counted(group.length - 12)} more` : ""),
    ]),
  );
  if (groups.length > 10) parts.push(element("p", { className: "note" }, `The 10 largest of ${counted(groups.length)} groups.`));
  for (const note of notes) parts.push(element("p", {}, `Note: ${note}.`));
  byId("quality").replaceChildren(...parts);
}

function showReceipt() {
  const { rows, inputs } = DATA.receipt;
  facts(byId("receipt"), rows);
  if (inputs.length) {
    const texts = inputs.map(([file, bytes, sha256]) => [file, counted(bytes), sha256]);
    fillTable(byId("inputs"), [["File", "text"], ["Bytes"], ["sha256", "text long"]], texts);
  }
}

load()
  .then((round) => {
    document.querySelector("main").hidden = false;
    showSummary(round);
    showUser(round);
    showScores(round);
    showLeaderboard(round);
    showMetaModel(round);
    showQuality(round);
    showReceipt(round);
  })
  .catch((error) => {
    document.body.prepend(element("p", {}, `This page cannot be shown here: ${error}`));
    throw error;
  });
