import { Alert } from 'antd'
import type { Connection } from '../api/live.ts'
import { useWords } from '../i18n/language.tsx'

/** Says loudly that what is on the screen is no longer live. */
export function StreamBanner({
  connection,
  cutSince,
}: {
  readonly connection: Connection
  readonly cutSince: number | null
}) {
  const { t, time } = useWords()
  if (connection !== 'cut') return null
  const since = cutSince === null ? '' : time(cutSince)
  return (
    <Alert
      className="banner"
      type="error"
      showIcon
      role="alert"
      title={t('cut')}
      description={t('cutDetail') + since}
    />
  )
}
