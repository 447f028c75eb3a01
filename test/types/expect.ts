// Conditional types are the same only if what they ask for is: T stands for anything.
// oxlint-disable typescript/no-unnecessary-type-parameters

/** True for the very same type; `any` equals nothing but itself. */
export type Equal<A, B> =
  (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Does not compile unless its argument is true. */
export type Expect<T extends true> = T;
