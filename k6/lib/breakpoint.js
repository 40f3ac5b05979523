// Where a lane breaks: the first rate at which too much of the load is dropped or fails.

import { breakShare } from './steps.js';

/**
 * Finds the break point among a breakpoint run's steps, which rise in rate.
 *
 * Returns the last rate that the lane held for a whole step and the first that it did not; null stands for none.
 */
export function findBreak(steps) {
  const broken = steps.findIndex((step) => !held(step));
  const before = broken === -1 ? steps : steps.slice(0, broken);
  const good = before.filter((step) => step.complete);
  return {
    limit_share: breakShare,
    last_good_rps: good.length === 0 ? null : good[good.length - 1].rps,
    broke_at_rps: broken === -1 ? null : steps[broken].rps,
  };
}

function held(step) {
  return step.drop_share <= breakShare && step.error_share <= breakShare;
}
