"use strict";

// Data quality: who was left out, filled, or ranks the stocks as somebody else does.

function showQuality({ users, columns, summary, groups, quality }) {
  const table = (headings, rows) => {
    const made = element("table");
    fillTable(made, headings, rows);
    return element("div", { className: "wide" }, made);
  };
  const text = (words) => element("p", {}, words);
  byId("quality").replaceChildren(
    ...quarantineParts(quality, summary.quarantined, text, table),
    ...filledParts(users, columns.filled.values, text, table),
    ...groupParts(users, columns.mmc, groups, text, table),
    ...quality.notes.map((note) => text(`Note: ${note}.`)),
  );
}

function quarantineParts({ codes, quarantined }, count, text, table) {
  if (!count) return [text("Nobody was quarantined.")];
  const list = element("dl", { className: "pairs" });
  const described = codes.map(([code, times, meaning, remedy]) => [
    code,
    several(times, "user", "users"),
    `${meaning} Remedy: ${remedy}.`,
  ]);
  facts(list, described);
  const who =
    quarantined.length < count
      ? `Who, and why: the first ${counted(quarantined.length)}; quarantine.csv has all`
      : "Who, and why";
  const headings = [
    ["User", "text"],
    ["Fault", "text long"],
  ];
  return [
    text(
      `${several(count, "user was", "users were")} quarantined: no score, and no part in anybody else’s.`,
    ),
    list,
    element("details", {}, element("summary", {}, who), table(headings, quarantined)),
  ];
}

function filledParts(users, filled, text, table) {
  const rows = Array.from(users.keys()).filter((row) => filled[row]);
  if (!rows.length) return [text("No prediction was missing and filled.")];
  rows.sort((a, b) => filled[b] - filled[a]);
  const most = rows.slice(0, 10).map((row) => [users[row], counted(filled[row])]);
  return [
    text(
      `${several(rows.length, "user", "users")} had missing predictions filled with their lower median.`,
    ),
    table([["User", "text"], ["Filled"]], most),
  ];
}

function groupParts(users, mmc, groups, text, table) {
  if (!groups.length) return [text("No two users have identical scores.")];
  const alike = groups.reduce((sum, group) => sum + group.length, 0);
  const largest = [...groups].sort((a, b) => b.length - a.length).slice(0, 10);
  const names = (group) =>
    listed(
      group.map((row) => users[row]),
      12,
    );
  const more = groups.length > 10 ? " The 10 largest groups:" : "";
  return [
    text(
      `${several(groups.length, "group", "groups")} of users have identical scores, ` +
        `${counted(alike)} users in all: their submissions rank the stocks alike.${more}`,
    ),
    table(
      [["Users"], ["MMC"], ["Who", "text long"]],
      largest.map((group) => [
        counted(group.length),
        signed(mmc.values[group[0]], mmc.decimals),
        names(group),
      ]),
    ),
  ];
}
