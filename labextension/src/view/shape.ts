/** A notebook comes from anywhere: whether data has the shape that a view needs. */

export type Check = (data: unknown) => boolean;

export function isObject(data: unknown): data is Record<string, unknown> {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}

/** An object whose fields pass these checks; others are not looked at. */
export function has(fields: Record<string, Check>): Check {
  return data => isObject(data) && Object.entries(fields).every(([name, is]) => is(data[name]));
}

export function listOf(item: Check): Check {
  return data => Array.isArray(data) && data.every(item);
}

export function optional(check: Check): Check {
  return data => data === undefined || check(data);
}

export function oneOf(...values: unknown[]): Check {
  return data => values.includes(data);
}

export const isText: Check = data => typeof data === 'string';
export const isNumber: Check = data => typeof data === 'number';
export const isTextOrNull: Check = data => data === null || isText(data);
export const isNumberOrNull: Check = data => data === null || isNumber(data);
