"use strict";

// The page of a season, from what report/season.py has gathered.

async function load() {
  const data = JSON.parse(byId("data").textContent);
  const columns = {};
  for (const [name, packed] of Object.entries(data.columns))
    columns[name] = await unpackColumn(packed);
  const { series } = data;
  const rows = await unpackIntegers(series.rows);
  const place = new Map(Array.from(rows, (row, at) => [row, at]));
  const scores = [];
  for (const packed of series.scores) scores.push(await unpackColumn(packed));
  const rank = await unpackColumn(series.rank);
  const payout = series.payout && (await unpackColumn(series.payout));
  return {
    ...data,
    users: await unpackTexts(data.users),
    columns,
    sparks: await unpackColumn(data.sparks),
    series: { ...series, place, scores, rank, payout },
    rounds: data.rounds.map(([name, day, users, staked, corr, left, earned, burnt, link]) => ({
      ...{ name, day, users, staked, corr, left, earned, burnt, link },
    })),
  };
}

const total = (rounds, of) => rounds.reduce((sum, round) => sum + (round[of] ?? 0), 0);
const nmr = (number) => shown(number, Math.abs(number) < 100 ? 2 : 0);
const paidText = (number) => (number ? signedNmr(number) : "–");
const signedNmr = (number) => signed(number, Math.abs(number) < 100 ? 2 : 0);

function showSummary({ rounds, users, columns, waiting, failed, main, all }) {
  const [first, last] = [rounds[0], rounds.at(-1)];
  const days = rounds.map(({ day }) => day).sort();
  byId("about").textContent =
    `${several(rounds.length, "round", "rounds")}, ${first.name} to ${last.name}; ` +
    `targets until ${days.at(-1)}; ranked by reputation, of ${main}`;
  const staked = columns.stake.values.filter((stake) => stake > 0).length;
  const money = columns.payout
    ? [
        ["Earned", `${nmr(total(rounds, "earned"))} NMR`, "by all users, in all rounds"],
        ["Burnt", `${nmr(-total(rounds, "burnt"))} NMR`, "before debts are paid off"],
      ]
    : [];
  const news = [...(waiting.length ? [`${counted(waiting.length)} waiting`] : [])];
  if (failed.length) news.push(`${counted(failed.length)} failed`);
  facts(byId("tiles"), [
    ["Rounds", counted(rounds.length), `the last: ${last.name}`],
    ["Users", counted(all), `${counted(staked)} with a stake`],
    ["At stake", `${nmr(last.staked)} NMR`, `in round ${last.name}`],
    ...money,
    news.length
      ? ["Not scored", several(waiting.length + failed.length, "round", "rounds"), news.join(", ")]
      : ["Left out", several(last.left, "user", "users"), `of round ${last.name}`],
  ]);
  if (users.length < all)
    byId("unknown").textContent =
      `The best ${counted(users.length)} of ${counted(all)} users; the files beside this page have all.`;
}

// a small line of how a user's sum went over the season, all drawn to the same scale
function spark({ sparks, users }, row, reach) {
  const count = sparks.values.length / users.length;
  const points = sparks.values.subarray(row * count, (row + 1) * count);
  const [low, high] = reach;
  const x = (at) => (1 + (at * 88) / Math.max(1, count - 1)).toFixed(1);
  const y = (value) => (23 - ((value - low) / (high - low)) * 22).toFixed(1);
  const d = Array.from(points, (value, at) => `${at ? "L" : "M"}${x(at)} ${y(value)}`).join("");
  return svg(
    "svg",
    { viewBox: "0 0 90 24", class: "spark", "aria-hidden": true },
    svg("line", { class: "grid", x1: 0, x2: 90, y1: y(0), y2: y(0) }),
    svg("path", { class: points.at(-1) < 0 ? "curve fell" : "curve", d }),
  );
}

function showLeaderboard(season) {
  const { users, columns, sparks, main, limits } = season;
  const ranks = Float64Array.from(users, (_, row) => row + 1);
  const number = (title, name, className, show = signed, hint = "") => ({
    title,
    hint,
    saved: name,
    className,
    values: columns[name].values,
    show: (row) => show(columns[name].values[row], columns[name].decimals),
    best: "high",
  });
  const count = sparks.values.length / users.length;
  const ends = Float64Array.from(users, (_, row) => sparks.values[(row + 1) * count - 1]);
  const reach = extent(sparks.values, true);
  const board = [
    {
      title: "Rank",
      saved: "rank",
      className: "rank",
      values: ranks,
      show: (row) => counted(row + 1),
    },
    { title: "User", saved: "user", className: "text", values: users, show: (row) => users[row] },
    {
      title: "Season",
      hint: `running sum of ${main}`,
      className: "season",
      values: ends,
      show: (row) => spark(season, row, reach),
      best: "high",
    },
    number("Reputation", "reputation", "number"),
    number("Season score", "season_score", "wider roomy"),
    number("Stake", "stake", "stake roomy", stakeText, "the last"),
    ...(columns.payout
      ? [number("Payout", "payout", "stake roomy", paidText, "earned and burnt")]
      : []),
  ];
  const table = new LongTable(byId("leaderboard"), board, users.length);
  byId("defined").textContent =
    `Reputation: sum of ${main} over the last ${counted(limits.window)} rounds` +
    ` / ${counted(limits.window)}. Season score: sum of stake × ${main} / sum of stakes, ` +
    `of those with ${counted(limits.least_rounds)} staked rounds or more. ` +
    "Definitions of this software, not Numerai’s.";
  showUser(season);
  const staked = (row) => !byId("staked").checked || columns.stake.values[row] > 0;
  searchTable(table, users, ["user", "users"], staked);
}

function showRounds({ rounds, waiting, failed, quarantined, codes }) {
  const paid = rounds.some(({ earned }) => earned !== null);
  const money = paid ? [["Earned", "roomy"], ["Burnt", "roomy"]] : [];
  const columns = [["Round", "text"], ["Targets of", "text"], ["Users"], ["At stake", "roomy"]];
  const rows = rounds.toReversed().map((round) => [
    round.link ? element("a", { href: round.link }, round.name) : round.name,
    round.day,
    counted(round.users),
    nmr(round.staked),
    signed(round.corr, 4),
    round.left ? counted(round.left) : "–",
    ...(paid ? [paidText(round.earned), paidText(round.burnt)] : []),
  ]);
  const headings = [...columns, ["Meta model"], ["Left out", "roomy"], ...money];
  fillTable(byId("rounds"), headings, rows);
  const why = [
    ["Round", "text"],
    ["Why", "text long"],
  ];
  const who = [
    ["Round", "text"],
    ["User", "text"],
    ["Fault", "text long"],
  ];
  const told = (list, one, many) =>
    list.length ? [paragraph(`${several(list.length, one, many)}:`), wideTable(why, list)] : [];
  const times = Object.entries(codes).map(([code, texts]) => [
    code,
    quarantined.filter(([, , own]) => own === code).length,
    ...texts,
  ]);
  const left = several(quarantined.length, "submission was", "submissions were");
  const faults = quarantined.length
    ? [
        paragraph(`${left} quarantined, of those that are listed here:`),
        ...faultParts(times, ["submission", "submissions"], "Who, and where", who, quarantined),
      ]
    : [paragraph("Nobody is quarantined.")];
  byId("news").replaceChildren(
    ...told(failed, "round has failed", "rounds have failed"),
    ...told(waiting, "round waits for its targets", "rounds wait for their targets"),
    ...faults,
  );
}

showPage(load, [showSummary, showLeaderboard, showRounds]);
