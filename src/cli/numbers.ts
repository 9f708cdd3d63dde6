import { InputError } from "./errors.ts";

/**
 * The value of an option that takes a whole number. Throws an {@link InputError} that names the option
 * and the range.
 */
export function wholeNumber(option: string, { min, max }: { readonly min: number; readonly max: number }) {
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < min || value > max)
      throw new InputError(`${option} "${text}": must be a whole number from ${min} to ${max}`);
    return value;
  };
}

/** The value of an option that takes a share. */
export function share(option: string) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !(value >= 0 && value <= 1))
      throw new InputError(`${option} "${text}": must be a number from 0 to 1`);
    return value;
  };
}

const UNITS = { "": 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 } as const;

/** The value of an option that takes a size: "64M", "1G", or bytes. In whole pages. */
export function sizePages(option: string, { min, max }: { readonly min: number; readonly max: number }) {
  return (text: string): number => {
    const match = /^(\d+)([KMG]?)(?:i?B)?$/i.exec(text);
    const unit = match?.[2].toUpperCase() as keyof typeof UNITS | undefined;
    const pages = match === null || unit === undefined ? Number.NaN : (Number(match[1]) * UNITS[unit]) / 4096;
    if (!Number.isInteger(pages) || pages < min || pages > max)
      throw new InputError(
        `${option} "${text}": must be a size in whole pages, from ${min * 4}K to ${(max * 4096) / 2 ** 30}G, ` +
          'such as "64M" or "1G"',
      );
    return pages;
  };
}
