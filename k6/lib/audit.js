// What the books of a run say: whether every accepted task is accounted for.

import { bookedSteps } from './books.js';
import { failure, note } from './finding.js';
import * as format from './format.js';

/** The findings of the books. A task that is missing fails the run, and so does one that nobody can have handed in. */
export function bookFindings(summary) {
  const steps = bookedSteps(summary);
  return [
    ...missing(steps), ...surplus(steps), ...unread(steps),
    ...unknown(steps), ...died(steps), ...repeated(steps), ...late(steps),
  ];
}

/**
 * The result of the books as a sentence, or an empty string for a run without any or whose books do not balance. It says
 * "every" only where no request is of unknown outcome: else totals that balance prove less.
 */
export function booksSentence(summary) {
  const steps = bookedSteps(summary);
  if (steps.length === 0 || steps.some(({ books }) => books.state !== 'balanced')) {
    return '';
  }
  const ends = ['completed', 'dead', 'discarded'].filter((name) => sum(steps, name) > 0);
  const accepted = `${format.count(sum(steps, 'accepted'))} accepted`;
  const done = ends.length === 0 ? 'none settled' : format.listing(ends.map((name) => `${format.count(sum(steps, name))} ${name}`));
  if (sum(steps, 'unknown') > 0) {
    return `The books balance but for ${format.plural(sum(steps, 'unknown'), 'request')} of unknown outcome: ${accepted}, ${done}.`;
  }
  return ends.length === 0 ? 'No task was accepted into the queue.' : `Every accepted task is accounted for: ${accepted}, ${done}.`;
}

function missing(steps) {
  const found = steps.filter(({ books }) => books.state === 'missing');
  if (found.length === 0) {
    return [];
  }
  return [failure(`${format.plural(sum(found, 'missing'), 'accepted task')} missing: neither completed nor dead nor discarded when ` +
    `the books were read last. ${format.listing(found.map(({ name, books }) => (
      `${name}: ${format.count(books.missing)}, ${format.span(books.read_after_seconds)} after its end`)))}.`)];
}

function surplus(steps) {
  const found = steps.filter(({ books }) => books.state === 'surplus');
  return found.length === 0 ? [] : [failure('More tasks were done than this run can have handed in. ' +
    `${each(found, 'surplus')} more than accepted.`)];
}

/** Steps whose books nobody told. Where nothing was accepted, there is nothing to account for. */
function unread(steps) {
  const names = steps.filter(({ books }) => books.state === 'unread' && books.accepted > 0).map((step) => step.name);
  return names.length === 0 ? [] : [failure(`The books of ${format.listing(names)} could not be read: nobody knows what became ` +
    'of the accepted tasks.')];
}

function unknown(steps) {
  const all = sum(steps, 'unknown');
  const done = steps.filter(({ books }) => books.state === 'balanced');
  const hidden = sum(steps, 'hidden');
  return all === 0 ? [] : [note(`${format.plural(all, 'request')} of unknown outcome, without an answer or with one that promises ` +
    `nothing: the books may hold as many tasks more than were accepted, and hold ${format.count(sum(done, 'surplus'))} more.` +
    (hidden === 0 ? '' : ` Up to ${format.plural(hidden, 'accepted task')} may be missing behind the unknown ones.`))];
}

function died(steps) {
  const found = ['dead', 'discarded'].filter((name) => sum(steps, name) > 0);
  return found.map((name) => note(`${format.plural(sum(steps, name), 'task')} ended ${name}, which is accounted for but not ` +
    `completed. ${each(steps.filter(({ books }) => books[name] > 0), name)}.`));
}

function repeated(steps) {
  const all = sum(steps, 'duplicates');
  return all === 0 ? [] : [note(`${format.plural(all, 'task')} executed again after completion: delivery is at least once. ` +
    `${each(steps.filter(({ books }) => books.duplicates > 0), 'duplicates')}.`)];
}

function late(steps) {
  const names = steps.filter(({ books }) => books.late).map(({ name, books }) => (
    `${name}${books.drain_ms === null ? '' : ` (drain ${format.time(books.drain_ms)})`}`));
  return names.length === 0 ? [] : [note(`Tasks of ${format.listing(names)} were still open when the next step began, which had to ` +
    'share the worker with them.')];
}

function each(steps, name) {
  return format.listing(steps.map((step) => `${step.name}: ${format.count(step.books[name])}`));
}

function sum(steps, name) {
  return steps.reduce((all, { books }) => all + (books[name] || 0), 0);
}
