import { useEffect, useState } from 'react'
import { gatewayNow, type Live } from '../api/live.ts'

/** The gateway's time, moving every second, so that ages grow also when nothing comes. */
export function useNow(live: Live): number {
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => tick(count => count + 1), 1000)
    return () => clearInterval(timer)
  }, [])
  return gatewayNow(live)
}
