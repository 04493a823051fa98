// What a chart shows of columns: each step, the running total, the place, a stack; and who passed whom when.
import { itemName, number } from "./format.js";

/** The columns of an answer of `series` as numbers, in the order of the ranking. `extra`: another answer whose items come too. */
export function columns(answer, extra) {
  const rows = [...answer.series, ...(extra?.series ?? [])];
  const seen = new Set();
  const series = [];
  for (const row of rows) {
    const name = itemName(row);
    if (seen.has(name)) continue;
    seen.add(name);
    series.push({ name, rank: row.rank, ...Object.fromEntries(["estimate", "lower", "upper"].map((of) => [of, row[of].map(number)])) });
  }
  return { times: answer.times, step: answer.step_seconds, series, other: answer.other.estimate.map(number), total: answer.total.map(number) };
}

/** The sum up to each step; unknown steps stay unknown and add nothing. */
export function running(values) {
  let sum = 0;
  return values.map((value) => (value === null ? null : (sum += value)));
}

/** The place among all series at each step, 1 for the most; null where an item is unknown or did not come. */
export function places(series) {
  const result = series.map((one) => one.estimate.map(() => null));
  const steps = series[0]?.estimate.length ?? 0;
  for (let step = 0; step < steps; step++) {
    const order = series
      .map((one, index) => [index, one.estimate[step]])
      .filter(([, value]) => value !== null && value > 0)
      .sort(([a, x], [b, y]) => y - x || a - b);
    order.forEach(([index], place) => (result[index][step] = place + 1));
  }
  return result;
}

/**
 * When `name` passed another item or fell behind it, in time: `{ step, other, up, mine, theirs, proven }`. `sums`: in the
 * running total, which decides the ranking of the range; else step by step. Equal counts change nothing.
 */
export function overtakes(data, name, sums) {
  const of = (one, bound) => (sums ? running(one[bound]) : one[bound]);
  const mine = data.series.find((one) => one.name === name);
  if (!mine) return [];
  const my = { estimate: of(mine, "estimate"), lower: of(mine, "lower"), upper: of(mine, "upper") };
  const found = [];
  for (const other of data.series) {
    if (other === mine) continue;
    const their = { estimate: of(other, "estimate"), lower: of(other, "lower"), upper: of(other, "upper") };
    let ahead = 0;
    for (let step = 0; step < data.times.length; step++) {
      if (my.estimate[step] === null || their.estimate[step] === null) continue;
      const now = Math.sign(my.estimate[step] - their.estimate[step]);
      if (now === 0) continue;
      if (ahead !== 0 && now !== ahead) {
        const [winner, loser] = now > 0 ? [my, their] : [their, my];
        found.push({
          step,
          other: other.name,
          up: now > 0,
          mine: my.estimate[step],
          theirs: their.estimate[step],
          proven: winner.lower[step] > loser.upper[step],
        });
      }
      ahead = now;
    }
  }
  return found.sort((a, b) => a.step - b.step);
}
