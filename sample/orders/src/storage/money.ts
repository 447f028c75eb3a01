import type { ColumnOptions } from 'typeorm';

/** A column for amounts of money. Exact numbers arrive as text. */
export const money: ColumnOptions = {
  type: 'numeric',
  precision: 14,
  scale: 2,
  transformer: { to: (amount: number) => amount, from: Number },
};
