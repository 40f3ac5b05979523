// By how much a run may be worse than its baseline.

const settings = {
  TOLERANCE: { fallback: 10, highest: 1000, field: 'tolerance_share', unit: 'per cent', scale: 0.01 },
  TOLERANCE_MS: { fallback: 10, highest: 60000, field: 'tolerance_ms', unit: 'milliseconds', scale: 1 },
  TOLERANCE_POINTS: { fallback: 1, highest: 100, field: 'tolerance_points', unit: 'percentage points', scale: 1 },
};

/** Reads the tolerance from the environment. Returns `{ tolerance, problems }`, as readSettings does. */
export function readTolerance(env) {
  const tolerance = {};
  const problems = [];
  for (const [name, { fallback, highest, field, unit, scale }] of Object.entries(settings)) {
    const value = (env[name] === undefined ? '' : String(env[name])).trim();
    const number = value === '' ? fallback : Number(value);
    if (value !== '' && (!/^\d{1,5}(\.\d{1,3})?$/.test(value) || number > highest)) {
      problems.push(`${name}=${value}: use a number of ${unit} from 0 to ${highest}`);
    }
    tolerance[field] = number * scale;
  }
  return { tolerance, problems };
}
