/** How many to return at most: a limit out of a URL may be any number, or none. */
export function pageLimit(asked: number | undefined, byDefault: number, most: number): number {
  const whole = Math.trunc(asked ?? byDefault);
  return Math.min(Math.max(1, Number.isNaN(whole) ? byDefault : whole), most);
}
