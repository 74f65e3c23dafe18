"use strict";

// The leaderboard, and beside it the chosen user: would that rank survive another bootstrap?

// what a staker adds to the correlation of the meta model's blend with the target
function worthText(value, decimals) {
  if (Number.isNaN(value)) return "–";
  if (value === 0 || Math.abs(value) >= 1e-4) return signed(value, Math.min(decimals, 5));
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toExponential(1)}`;
}

function intervalText({ columns }, row) {
  if (!columns.low) return "–";
  const [low, high] = [columns.low.values[row], columns.high.values[row]];
  return low === high ? counted(low) : `${counted(low)} – ${counted(high)}`;
}

function showLeaderboard(round) {
  const { users, columns, view, summary } = round;
  const { stake, mmc, se, corr, with_mm: withMetaModel } = columns;
  const ranks = Float64Array.from(users, (_, row) => row + 1);
  const number = (title, saved, className, column, show) => ({
    title,
    saved,
    className,
    values: column.values,
    show: (row) => show(column.values[row], column.decimals),
    best: "high",
  });
  const board = [
    {
      title: "Rank",
      saved: [
        ...(summary.targets.length > 1 ? [["target", users.map(() => view.target)]] : []),
        ["rank", ranks],
      ],
      className: "rank",
      values: ranks,
      show: (row) => counted(row + 1),
    },
    { title: "User", saved: "user", className: "text", values: users, show: (row) => cut(users[row]) },
    number("Stake", "stake", "stake roomy", stake, stakeText),
    number("MMC", "mmc", "number", mmc, signed),
    number("± SE", "mmc_se", "small roomy", se, shown),
    {
      title: "Likely rank",
      saved: columns.low && [
        ["rank_low", columns.low.values],
        ["rank_high", columns.high.values],
      ],
      hint: `of another ${counted(round.summary.draws)} draws, in ${counted(round.level * 10)} of 10 cases`,
      className: "interval",
      values: columns.low
        ? columns.high.values.map((high, row) => high - columns.low.values[row])
        : ranks,
      show: (row) => intervalText(round, row),
    },
    number("CORR", "corr", "small roomy", corr, signed),
    // one of the two: with both there is no room for names
    columns.worth
      ? number("Worth", "worth", "small roomy", columns.worth, worthText)
      : number("With MM", "corr_with_meta_model", "small roomy", withMetaModel, signed),
  ].filter((column) => columns.low || column.className !== "interval");
  const table = new LongTable(byId("leaderboard"), board, users.length);
  const staked = (row) => !byId("staked").checked || stake.values[row] > 0;
  searchTable(table, users, ["user", "users"], staked);
}

function showUser(round) {
  const { users, columns, groups, views, view } = round;
  onChoice((row) => {
    const of = (name, show = signed) => show(columns[name].values[row], columns[name].decimals);
    const target = views[0] === view ? {} : { target: view.target };
    showName(users[row], { ...target, user: users[row] });
    const pairs = [
      ["Rank", `${counted(row + 1)} of ${counted(users.length)}`],
      ["MMC", of("mmc") + (Number.isNaN(columns.se.values[row]) ? "" : ` ± ${of("se", shown)}`)],
      ["CORR", of("corr")],
      ["With meta model", of("with_mm")],
      ["Stake", columns.stake.values[row] ? `${of("stake", stakeText)} NMR` : "none"],
    ];
    if (columns.worth)
      pairs.push(["Worth to the blend", of("worth", worthText)]);
    if (columns.filled.values[row])
      pairs.push(["Filled", several(columns.filled.values[row], "prediction", "predictions")]);
    const group = groups[columns.group.values[row] - 1];
    if (group) {
      const others = group.filter((other) => other !== row).map((other) => users[other]);
      pairs.push(["Same scores", listed(others, 3)]);
    }
    facts(byId("facts"), pairs);
    byId("survival").textContent = survival(round, row);
  });
  showStrip(round);
}

function survival(round, row) {
  const { columns, strips, summary, level } = round;
  if (!strips)
    return "The draws are not here: mmc-gpu score writes them with --report, or with --save-draws for mmc-gpu report.";
  if (!columns.low)
    return `${several(summary.draws, "draw says", "draws say")} too little about others.`;
  const [low, high] = [columns.low.values[row], columns.high.values[row]];
  const where =
    low === high ? `at rank ${counted(low)}` : `between ranks ${counted(low)} and ${counted(high)}`;
  return (
    `Another ${counted(summary.draws)} draws would have put this user ${where} in ${counted(level * 10)} of 10 cases.` +
    ahead(round, row)
  );
}

// in how many draws a user is ahead of the next one
function ahead({ columns, strips, users }, row) {
  const [one, other] = [strips.place.get(row), strips.place.get(row + 1)];
  if (one === undefined || other === undefined) return "";
  const { values: group } = columns.group;
  if (group[row] && group[row] === group[row + 1])
    return ` The next, ${users[row + 1]}, has the same scores.`;
  const unit = 10 ** columns.mmc.decimals;
  const apart = Math.round((columns.mmc.values[row] - columns.mmc.values[row + 1]) * unit);
  let wins = 0;
  for (let draw = 0; draw < strips.draws; draw++) {
    const [a, b] = [one, other].map((place) => strips.values[place * strips.draws + draw]);
    wins += a + apart > b;
  }
  return ` It is ahead of the next, ${users[row + 1]}, in ${counted(wins)} of ${several(strips.draws, "draw", "draws")}.`;
}

// the chosen user's draws between those of the neighbours on the leaderboard
function showStrip(round) {
  const { users, columns, strips } = round;
  if (!strips) return;
  const { values: means, decimals } = columns.mmc;
  const drawsOf = (row) => {
    const start = strips.place.get(row) * strips.draws;
    return Array.from(
      strips.values.subarray(start, start + strips.draws),
      (value) => means[row] + value / 10 ** decimals,
    );
  };
  figure(
    "strip",
    (width) => {
      const first = Math.max(0, Math.min(choice.row - 3, users.length - 7));
      const near = Array.from({ length: Math.min(7, users.length) }, (_, at) => first + at);
      const rows = near.filter((row) => strips.place.has(row));
      const known = strips.place.has(choice.row);
      byId("strip-note").textContent = known
        ? `Each dot is the MMC of one draw${strips.draws < round.summary.draws ? ` (the first ${strips.draws})` : ""}; the tick is their mean, the bar two standard errors to each side.`
        : "This page holds the draws of the best users and of the largest stakers; draws.parquet has everybody’s.";
      if (!known) return svg("svg");
      const all = rows.flatMap(drawsOf);
      const xAxis = axis(all, { label: "MMC", count: 4 });
      const height = rows.length * 38 + 48;
      const yAxis = { low: rows.length, high: 0, ticks: [], label: "" };
      const chart = frame(width, height, xAxis, yAxis, { left: 2, right: 2, top: 4, bottom: 40 });
      rows.forEach((row, at) => {
        const y = chart.y(at) + 26;
        const line = svg("g", row === choice.row ? { class: "chosen" } : {});
        const [mean, error] = [means[row], 2 * columns.se.values[row]];
        const label = `${counted(row + 1)}  ${users[row].length > 30 ? `${users[row].slice(0, 29)}…` : users[row]}`;
        line.append(svg("text", { x: 2, y: y - 11 }, label));
        if (!Number.isNaN(error))
          line.append(segment("error", chart.x(mean - error), y, chart.x(mean + error), y));
        for (const value of drawsOf(row))
          line.append(svg("circle", { class: "dot", cx: chart.x(value), cy: y, r: 3 }));
        line.append(segment("mean", chart.x(mean), y - 7, chart.x(mean), y + 7));
        chart.picture.append(line);
      });
      return chart.picture;
    },
    true,
  );
}
