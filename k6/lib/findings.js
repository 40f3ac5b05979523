// What a reader of a run has to know beside its numbers: why it failed, and what was not as it should be.

import { bookFindings } from './audit.js';
import { comparisonSentence } from './compare.js';
import * as format from './format.js';
import { failure, note } from './finding.js';
import { boundedClasses, failureClasses } from './steps.js';

/** How many steps are named one by one. */
const mostNamed = 8;

/** How the report names each kind of failed answer. */
export const failureNames = {
  refused: 'refused (429 or 503)',
  late: 'accepted, but not finished in time (202)',
  '2xx': '2xx that is not the promised answer',
  '3xx': '3xx',
  '4xx': '4xx',
  '5xx': '5xx',
  none: 'no answer',
};

/**
 * The findings of a summary, each `{ level, text }`: a `failure` fails the run, a `note` does not.
 *
 * A breakpoint run is meant to end in errors; it fails only if not even its first rate was held.
 */
export function findings(summary) {
  const found = [];
  if (!summary.complete && (summary.breakpoint === null || summary.breakpoint.broke_at_rps === null)) {
    found.push(note(`The run was stopped early: ${format.plural(summary.steps.length, 'step')} of ` +
      `${summary.settings.planned_steps} began.`));
  }
  if (summary.breakpoint === null) {
    found.push(...unexpected(summary.steps), ...barren(summary.steps));
  } else if (summary.breakpoint.last_good_rps === null) {
    found.push(failure('Not even the first rate was held.'));
  }
  found.push(...refused(summary.steps), ...late(summary.steps), ...unanswered(summary.steps), ...bookFindings(summary),
    ...regression(summary.comparison));
  return found;
}

function unexpected(steps) {
  const kinds = failureClasses.filter((kind) => !boundedClasses.includes(kind) && total(steps, kind) > 0);
  if (kinds.length === 0) {
    return [];
  }
  const all = kinds.reduce((sum, kind) => sum + total(steps, kind), 0);
  const each = kinds.map((kind) => `${format.count(total(steps, kind))} × ${failureNames[kind]}`);
  return [failure(`${format.plural(all, 'request')} got neither the expected answer nor a refusal: ${each.join(', ')}.`)];
}

/** Steps without a single good answer: whatever they measured, it was not the system at work. */
function barren(steps) {
  const names = steps.filter((step) => step.complete && step.ok === 0).map((step) => step.name);
  return names.length === 0 ? [] : [failure(`Not one good answer in ${format.listing(names)}.`)];
}

function refused(steps) {
  const all = total(steps, 'refused');
  return all === 0 ? [] : [note(`${format.plural(all, 'request')} refused with 429 or 503: the system's own bound, ` +
    'counted as errors in the figures.')];
}

function late(steps) {
  const all = total(steps, 'late');
  return all === 0 ? [] : [note(`${format.plural(all, 'task')} of the lane wait accepted, but not finished in time: answered ` +
    'with 202 instead of a result, and counted as errors in the figures.')];
}

function unanswered(steps) {
  const all = steps.filter((step) => step.complete).reduce((sum, step) => sum + step.unanswered, 0);
  return all === 0 ? [] : [note(`${format.plural(all, 'request')} had no answer when the gap after the step was over, ` +
    'and count as errors.')];
}

/** Whether a run with these findings passed. */
export function passes(all) {
  return all.every(({ level }) => level !== 'failure');
}

/** Whoever names a baseline wants to know of what is worse than it, and of what cannot be compared. */
export function regression(comparison) {
  if (comparison === null) {
    return [];
  }
  const { baseline, steps, worse, unlike, lacking } = comparison;
  return [
    ...(steps.length === 0 || worse > 0 ? [failure(comparisonSentence(comparison))] : []),
    ...heldLess(comparison),
    ...(steps.length > 0 && lacking.length > 0 ? [note(`${format.plural(lacking.length, 'step')} of ${baseline} could not be compared, which this run has ` +
      `not, or not whole${lacking.length > mostNamed ? '' : `: ${format.listing(lacking)}`}.`)] : []),
    ...(unlike.length > 0 ? [note(`The run is not the same experiment as ${baseline}: ${format.listing(unlike)}.`)] : []),
  ];
}

/** A break point that has come down is in no figure of a step: those beyond it are not there. */
function heldLess({ baseline, held, tolerance_share: share }) {
  if (held === null || (held.value || 0) >= (held.baseline || 0) * (1 - share)) {
    return [];
  }
  const now = held.value === null ? 'no rate' : format.rate(held.value);
  return [failure(`The lane held ${now}, and in ${baseline} ${format.rate(held.baseline)}.`)];
}

function total(steps, kind) {
  return steps.reduce((sum, step) => sum + step.failures[kind], 0);
}

