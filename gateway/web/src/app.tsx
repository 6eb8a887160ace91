import { Button, ConfigProvider } from 'antd'
import enUS from 'antd/locale/en_US'
import zhCN from 'antd/locale/zh_CN'
import { useCallback, useEffect, useState } from 'react'
import { Link, Route, Routes } from 'react-router'
import { answer, client, type Me } from './api/client.ts'
import { isSignedOut, useLive } from './api/live.ts'
import { useWords } from './i18n/language.tsx'
import { AlarmPage } from './pages/alarm.tsx'
import { DevicePage } from './pages/device.tsx'
import { Overview } from './pages/overview.tsx'
import { SignIn } from './pages/sign-in.tsx'
import { StreamBanner } from './parts/stream-banner.tsx'

type Session = { readonly kind: 'unknown' } | { readonly kind: 'out' } | { readonly kind: 'in'; readonly me: Me }

export function App() {
  const { language } = useWords()
  return (
    <ConfigProvider
      locale={language === 'zh' ? zhCN : enUS}
      theme={{ token: { colorPrimary: '#1f5f85', borderRadius: 4 } }}
    >
      <Frame />
    </ConfigProvider>
  )
}

function Frame() {
  const { t } = useWords()
  const [session, setSession] = useState<Session>({ kind: 'unknown' })
  const { live, connection, cutSince, reread } = useLive(session.kind === 'in')

  const ask = useCallback(() => {
    answer(client.GET('/api/v1/me')).then(
      me => setSession({ kind: 'in', me }),
      error => {
        // A gateway that does not answer is not a sign-out: ask again.
        if (isSignedOut(error)) setSession({ kind: 'out' })
        else setTimeout(ask, 2000)
      },
    )
  }, [])
  useEffect(ask, [ask])
  useEffect(() => {
    if (connection === 'signed-out') setSession({ kind: 'out' })
  }, [connection])

  const signOut = async () => {
    await client.POST('/api/v1/sign-out')
    setSession({ kind: 'out' })
  }
  const factor = live.status?.timeFactor ?? 1
  return (
    <>
      <header className="top">
        <Link to="/" className="brand">
          {t('title')}
        </Link>
        {factor !== 1 && <span className="replay">{t('replay', { n: factor })}</span>}
        <span className="space" />
        <LanguageSwitch />
        {session.kind === 'in' && (
          <>
            <span className="quiet">{session.me.name}</span>
            <Button size="small" onClick={() => void signOut()}>
              {t('signOut')}
            </Button>
          </>
        )}
      </header>
      {session.kind === 'in' && <StreamBanner connection={connection} cutSince={cutSince} />}
      {session.kind === 'unknown' && <main className="quiet">{t('loading')}</main>}
      {session.kind === 'out' && <SignIn onSignedIn={ask} />}
      {session.kind === 'in' && (
        <Routes>
          <Route path="/" element={<Overview live={live} connection={connection} me={session.me} reread={reread} />} />
          <Route
            path="/devices/:site/:device"
            element={<DevicePage live={live} connection={connection} me={session.me} />}
          />
          <Route path="/alarms/:id" element={<AlarmPage live={live} connection={connection} me={session.me} />} />
          <Route
            path="*"
            element={
              <main>
                <p>{t('notFound')}</p>
                <Link to="/">{t('back')}</Link>
              </main>
            }
          />
        </Routes>
      )}
    </>
  )
}

function LanguageSwitch() {
  const { t, language, setLanguage } = useWords()
  return (
    <Button
      size="small"
      type="text"
      lang={language === 'zh' ? 'en' : 'zh-CN'}
      onClick={() => setLanguage(language === 'zh' ? 'en' : 'zh')}
    >
      {t('language')}
    </Button>
  )
}
