//! A connection, and the runtime that drives it: from outside it blocks.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_util::sync::CancellationToken;

use super::failure::unreachable;
use crate::audit::store::ANSWER_WITHIN;
use crate::audit::{AuditError, DatabaseUrl};

/// How long a connection to one host may take to be made, up to the first answer that shows it to be usable: whoever
/// takes connections and says nothing, a stopped server or a proxy, is not there.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long an answer is waited for, and a connection is made, once the gateway ends and records have another place to go to.
const ANSWER_AT_THE_END: Duration = Duration::from_millis(1_500);

/// How long nothing comes before either side asks whether the other one is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Where the database is. Shown without its password.
#[derive(Clone)]
pub(super) struct Address {
    config: Config,
    shown: String,
    answer_within: Duration,
    hurry: CancellationToken,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl Address {
    pub(super) fn parse(url: &DatabaseUrl, answer_within: Duration) -> Result<Self, AuditError> {
        let shown = format!("`{url}`");
        let mut config: Config = url.expose().parse().map_err(|error| {
            AuditError::Settings(format!("audit.url: {shown} is no address of PostgreSQL: {error}"))
        })?;
        config.connect_timeout(CONNECT_WITHIN).keepalives_idle(KEEPALIVE).tcp_user_timeout(ANSWER_WITHIN);
        if config.get_application_name().is_none() {
            config.application_name("octroi");
        }
        Ok(Self { config, shown, answer_within, hurry: CancellationToken::new() })
    }

    /// Nothing is waited for longer than a moment from now on.
    pub(super) fn hurry(&self) {
        self.hurry.cancel();
    }

    pub(super) fn connect(&self) -> Result<Connection, AuditError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| AuditError::Io(format!("no runtime for the database's connection: {error}")))?;
        let hosts = u32::try_from(self.config.get_hosts().len().max(1)).unwrap_or(1);
        let within = CONNECT_WITHIN * hosts;
        let connected = runtime.block_on(answer_of(self.usable_client(), within, &self.hurry));
        let connected =
            connected.unwrap_or_else(|Late(within)| Err(self.refused(format!("no answer within {within:?}"))));
        match connected {
            Ok(client) => {
                let (client, answer_within) = (Arc::new(client), self.answer_within);
                Ok(Connection { runtime: Some(runtime), client, answer_within, hurry: self.hurry.clone() })
            }
            Err(error) => {
                // It may still look for the host's address, which nothing bounds.
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    async fn usable_client(&self) -> Result<Client, AuditError> {
        let refused = |error: tokio_postgres::Error| self.refused(with_cause(&error));
        // Without TLS unless it is asked for; where it is, the certificate is verified.
        let client = if self.config.get_ssl_mode() == SslMode::Require {
            let (client, connection) = self.config.connect(verified_tls()?).await.map_err(refused)?;
            tokio::spawn(connection);
            client
        } else {
            let mut config = self.config.clone();
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect(NoTls).await.map_err(refused)?;
            tokio::spawn(connection);
            client
        };
        // Acknowledged is durable: what the server is set to may promise more, never less. And what is given up here does
        // not go on there, with its locks; nor does what nobody is left to give up. A process that lost its power between
        // two steps of a transaction holds the next place of its chain there until the server ends it. Places are taken one
        // behind the other by each transaction itself: a stricter isolation would only refuse them.
        let set = format!(
            "SET search_path = octroi; SET default_transaction_isolation = 'read committed'; SET statement_timeout = {}; SET idle_in_transaction_session_timeout = {}; \
             SET tcp_keepalives_idle = {}; SET tcp_keepalives_interval = {}; SET tcp_user_timeout = {}; \
             SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'",
            self.answer_within.as_millis(),
            self.answer_within.min(ANSWER_WITHIN).as_millis(),
            KEEPALIVE.as_secs(),
            KEEPALIVE.as_secs(),
            ANSWER_WITHIN.as_millis(),
        );
        client.batch_execute(&set).await.map_err(refused)?;
        Ok(client)
    }

    fn refused(&self, reason: String) -> AuditError {
        AuditError::Open { path: self.shown.clone(), reason }
    }
}

/// TLS that trusts whom the system trusts.
fn verified_tls() -> Result<MakeRustlsConnect, AuditError> {
    let failed = |error: rustls::Error| AuditError::Settings(format!("audit.url: no TLS: {error}"));
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(rustls_platform_verifier::BuilderVerifierExt::with_platform_verifier)
        .map_err(failed)?
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The library's error, with what stands behind it.
pub(super) fn with_cause(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// There was no answer within that time.
struct Late(Duration);

/// What is asked, within that time; and within a moment once there is reason for hurry.
async fn answer_of<T>(asked: impl Future<Output = T>, within: Duration, hurry: &CancellationToken) -> Result<T, Late> {
    let hurried = async {
        hurry.cancelled().await;
        tokio::time::sleep(ANSWER_AT_THE_END).await;
    };
    tokio::select! {
        biased;
        answer = asked => Ok(answer),
        () = tokio::time::sleep(within) => Err(Late(within)),
        () = hurried => Err(Late(ANSWER_AT_THE_END)),
    }
}

/// A connection.
pub(super) struct Connection {
    runtime: Option<Runtime>,
    client: Arc<Client>,
    answer_within: Duration,
    hurry: CancellationToken,
}

impl Connection {
    /// Asks the database and waits for the answer.
    pub(super) fn ask<T, F>(&self, question: impl FnOnce(Arc<Client>) -> F) -> Result<T, AuditError>
    where
        F: Future<Output = Result<T, AuditError>>,
    {
        self.ask_within(self.answer_within, question)
    }

    fn ask_within<T, F>(&self, within: Duration, question: impl FnOnce(Arc<Client>) -> F) -> Result<T, AuditError>
    where
        F: Future<Output = Result<T, AuditError>>,
    {
        let Some(runtime) = &self.runtime else { return Err(unreachable("the connection is closed")) };
        let answer = runtime.block_on(answer_of(question(self.client.clone()), within, &self.hurry));
        answer.unwrap_or_else(|Late(within)| Err(unreachable(&format!("no answer within {within:?}"))))
    }

    /// Whether it still works. Nothing reads from it between two questions, so it knows of no end by itself.
    pub(super) fn answers(&self) -> bool {
        self.ask_within(CONNECT_WITHIN, async |client| Ok(client.check_connection().await?)).is_ok()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// A runtime may not be dropped where another one runs, and the last owner may well be there.
impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
