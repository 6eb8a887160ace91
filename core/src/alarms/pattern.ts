// Patterns over sources: segments joined by "/", "*" stands for any characters inside one segment.
// "*/cl2-*/concentration" matches "waterworks/cl2-1/concentration" and not "waterworks/cl2-1/a/concentration".

export function compilePattern(pattern: string): (source: string) => boolean {
  if (!pattern.includes('*')) return source => source === pattern
  const escaped = pattern.split('*').map(part => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  const expression = new RegExp(`^${escaped.join('[^/]*')}$`)
  return source => expression.test(source)
}

export function compilePatterns(patterns: string | readonly string[]): (source: string) => boolean {
  const each = (typeof patterns === 'string' ? [patterns] : patterns).map(compilePattern)
  return source => each.some(matches => matches(source))
}
