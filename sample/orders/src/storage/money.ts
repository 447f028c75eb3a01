import type { ColumnOptions } from 'typeorm';

/** A column for amounts of money. PostgreSQL's exact numbers arrive as text. */
export const money: ColumnOptions = {
  type: 'numeric',
  precision: 14,
  scale: 2,
  transformer: { to: (amount: number) => amount, from: Number },
};
