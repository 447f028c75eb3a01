import type { LoggerService } from '@nestjs/common';

export interface LogLine {
  readonly level: 'log' | 'error' | 'warn' | 'debug' | 'verbose';
  readonly text: string;
  readonly context: string;
}

/** A Nest logger that keeps its lines. */
export class LogLines implements LoggerService {
  readonly lines: LogLine[] = [];

  /** The lines of this library. */
  get ours(): LogLine[] {
    return this.lines.filter(({ context }) => ['EventsModule', 'DurableEvents'].includes(context));
  }

  log = this.keep('log');
  error = this.keep('error');
  warn = this.keep('warn');
  debug = this.keep('debug');
  verbose = this.keep('verbose');

  private keep(level: LogLine['level']) {
    return (message: unknown, ...rest: unknown[]): void => {
      this.lines.push({ level, text: String(message), context: String(rest.at(-1)) });
    };
  }
}
