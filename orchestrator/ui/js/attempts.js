// The attempts of each step, from the changes of a saga: when each began and ended, with which error, and the pause
// before the next one.

// A change in one of these states is about the compensation of its step.
const UNDOING = ["compensating", "compensated"];

/**
 * The attempts by step: { action: [attempt], undo: [attempt] }, an attempt being { n, from, to, error, pauseMs }. `to` is
 * null while it runs, `pauseMs` is null for the last one.
 */
export function attemptsOf(changes) {
  const steps = {};
  for (const { kind, step, state, attempts: n, error, at } of changes) {
    if (kind !== "step") continue;
    const list = (steps[step] ??= { action: [], undo: [] })[UNDOING.includes(state) ? "undo" : "action"];
    const last = list.at(-1);
    // The breaker turned the call away, which does not count as an attempt: the number goes back.
    if (last && n < last.n) list.pop();
    else if (n === 0) continue;
    else if (last?.n === n) Object.assign(last, { to: at, error: state === "done" || state === "compensated" ? null : error });
    else list.push({ n, from: at, to: null, error: null, pauseMs: null });
  }
  for (const list of Object.values(steps).flatMap(({ action, undo }) => [action, undo])) {
    list.forEach((attempt, index) => {
      const next = list[index + 1];
      if (next && attempt.to) attempt.pauseMs = new Date(next.from) - new Date(attempt.to);
    });
  }
  return steps;
}

const key = ({ kind, status, step, state, attempts, at }) => [kind, status, step, state, attempts, at].join(" ");

/** Changes that were kept and those that came since, without those that are in both. */
export function merged(kept, since) {
  const known = new Set(kept.map(key));
  return [...kept, ...since.filter((change) => !known.has(key(change)))];
}
