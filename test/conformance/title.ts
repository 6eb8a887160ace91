/** Name of a test: one requirement id a line, then what is shown. On one line in reports. */
export const title = ({ raw }: TemplateStringsArray): string => raw.join('').trim().replaceAll(/\s+/g, ' ')
