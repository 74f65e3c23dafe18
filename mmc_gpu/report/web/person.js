"use strict";

// One user: where they stand, and their scores, ranks and payouts over the rounds.

// what a user has in each round, NaN where they were not in it; null if it is not on this page
function ofUser({ series, rounds }, column, row) {
  const at = series.place.get(row);
  if (at === undefined) return null;
  return column.values.subarray(at * rounds.length, (at + 1) * rounds.length);
}

function roundAxis(rounds) {
  const last = rounds.length - 1;
  const step = Math.max(1, Math.round(niceStep(Math.max(1, last), 5)));
  const ticks = Array.from({ length: Math.floor(last / step) + 1 }, (_, at) => at * step);
  const format = (at) => rounds[at].name;
  return { low: -0.5, high: last + 0.5, ticks, lines: "none", label: "", format };
}

// a line or bars over the rounds, and what is under the pointer
function roundChart(season, width, values, { label, show, bars, ranks }) {
  const { rounds } = season;
  const known = values.filter((value) => !Number.isNaN(value));
  let yAxis = axis(known, { label, zero: !ranks, count: 4 });
  if (ranks) {
    const most = Math.max(10, ...known);
    const ticks = [1, ...axis([1, most], { count: 4 }).ticks.filter((tick) => tick > 1)];
    yAxis = { label, ticks, low: most, high: 1, format: counted };
  }
  const chart = frame(width, 230, roundAxis(rounds), yAxis, { left: 56, bottom: 28 });
  if (bars) {
    const wide = Math.max(0.6, (0.8 * (chart.right - chart.left)) / rounds.length);
    values.forEach((value, at) => {
      if (Number.isNaN(value)) return;
      bar(chart, value < 0 ? "bar below" : "bar", chart.x(at) - wide / 2, wide, value);
    });
  } else {
    chart.picture.append(svg("path", { class: "curve", d: pathOf(values, chart) }));
  }
  pointAlong(chart, width, (share, event) => {
    if (share < 0 || share > 1) return null;
    const at = Math.min(rounds.length - 1, Math.floor(share * rounds.length));
    const value = Number.isNaN(values[at]) ? "not in this round" : show(values[at]);
    tip(`${rounds[at].name}, targets of ${rounds[at].day}\n${value}`, event);
    return at;
  });
  return chart.picture;
}

// goes on as it was over rounds that were missed
function runningSum(values) {
  let sum = NaN;
  return values.map((value) => {
    if (!Number.isNaN(value)) sum = (sum || 0) + value;
    return sum;
  });
}

function showUser(season) {
  const { users, columns, series, main, all } = season;
  const box = byId("score");
  fillSelect(box, series.names);
  const score = () => series.scores[box.value];
  const draw = (id, column, options, of = (own) => own) =>
    figure(
      id,
      (width) => {
        const own = ofUser(season, column(), choice.row);
        return own ? roundChart(season, width, of(own), options()) : svg("svg");
      },
      true,
    );
  const scored = (bars) => () => ({
    label: series.names[box.value],
    show: (value) => signed(value, score().decimals),
    bars,
  });
  const sums = draw("sums", score, scored(false), runningSum);
  const again = [draw("scores", score, scored(true)), sums];
  const ranks = { label: "rank", show: (value) => `rank ${counted(value)}`, ranks: true };
  draw("ranks", () => series.rank, () => ranks);
  const money = { label: "NMR", show: (value) => `${signed(value, 3)} NMR`, bars: true };
  if (series.payout) draw("payouts", () => series.payout, () => money);
  box.addEventListener("change", () => again.forEach((one) => one()));
  onChoice((row) => {
    const of = (name, show = signed) => show(columns[name].values[row], columns[name].decimals);
    showName(users[row], { user: users[row] });
    const spread = columns.rounds.values[row] > 1 ? ` ± ${of(`${main}_std`, shown)}` : "";
    const pairs = [
      ["Rank", `${counted(row + 1)} of ${counted(all)}`],
      ["Reputation", of("reputation")],
      ["Season score", of("season_score")],
      [`Mean ${main}`, `${of(`${main}_mean`)}${spread}`],
      ["Weighted by stake", of(`${main}_stake_weighted`)],
      ["Rounds", `${of("rounds", counted)}, ${of("staked_rounds", counted)} staked`],
      ["Stake", columns.stake.values[row] ? `${of("stake", stakeText)} NMR` : "none"],
    ];
    if (columns.payout?.values[row]) {
      pairs.push(["Earned and burnt", `${of("payout", signedNmr)} NMR`]);
      const debts = `${of("claimable", nmr)} NMR claimable, ${of("debt", nmr)} owed`;
      pairs.push(["If burns are debts", debts]);
    }
    facts(byId("facts"), pairs);
    tellRounds(season, row);
  });
}

// in words, what the figures show of the chosen user
function tellRounds(season, row) {
  const { series, users, main } = season;
  const own = ofUser(season, series.scores[0], row);
  byId("who").textContent = users[row];
  byId("rounds-of-user").hidden = !own;
  byId("who-said").textContent = own
    ? ""
    : `is not among the ${several(series.place.size, "user", "users")} whose rounds this page holds, ` +
      "the best and the largest stakers; the dataset beside it has everybody’s.";
  if (!own) return;
  const known = own.filter((value) => !Number.isNaN(value));
  const above = known.filter((value) => value > 0).length;
  byId("who-said").textContent =
    `was in ${counted(known.length)} of ${several(own.length, "round", "rounds")}, ` +
    `and the ${main} was above 0 in ${percent(above / known.length, 0)} of them.`;
  const all = ofUser(season, series.rank, row);
  const ranks = all.filter((rank) => !Number.isNaN(rank)).sort();
  byId("rank-said").textContent =
    `Best ${counted(ranks[0])}, median ${counted(ranks[Math.floor(ranks.length / 2)])}; 1 is on top.`;
  const paid = series.payout ? ofUser(season, series.payout, row).filter((value) => value) : [];
  byId("paid").hidden = !paid.length;
  const sum = (sign) => paid.reduce((sum, value) => sum + Math.max(0, sign * value), 0);
  byId("paid-said").textContent = `Earned ${nmr(sum(1))}, burnt ${nmr(sum(-1))}.`;
}
