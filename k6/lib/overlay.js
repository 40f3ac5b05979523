// What the baseline of a run has to say beside one of its bars.

/** The baseline's figure for a measure of a step, or null where there is none. */
export function baselineValue({ comparison }, measure, step) {
  const found = comparison === null ? undefined : comparison.steps.find(({ name }) => name === step.name);
  const figure = found === undefined ? undefined : found.figures.find((candidate) => candidate.figure === measure.key);
  return figure === undefined ? null : figure.baseline;
}
