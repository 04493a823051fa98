//! The answers by SQL, over the PostgreSQL protocol: wired to a service, or left out of this build.

pub use wired::{Sql, bind};

#[cfg(feature = "postgres")]
mod wired {
    use crate::failure::Failure;
    use hitters_postgres::Server;
    use hitters_service::Service;
    use std::net::SocketAddr;
    use tokio::runtime::Runtime;
    use tokio::task::JoinHandle;

    /// A server that listens.
    pub struct Sql {
        server: Server,
        address: SocketAddr,
    }

    /// A server that answers, until this is dropped.
    pub struct Answering(JoinHandle<()>);

    /// Listens. What it may be asked for, and by whom, is the service's matter.
    pub fn bind(runtime: &Runtime, address: SocketAddr, service: &Service) -> Result<Sql, Failure> {
        let bound = runtime.block_on(Server::bind(address, service.questions(), service.tls().cloned()));
        let listening = bound.and_then(|server| Ok((server.address()?, server)));
        let (address, server) =
            listening.map_err(|error| Failure::Run(format!("cannot listen on {address}: {error}")))?;
        Ok(Sql { server, address })
    }

    impl Sql {
        /// Where it listens.
        pub fn address(&self) -> SocketAddr {
            self.address
        }

        /// Answers.
        pub fn run(self) -> Answering {
            Answering(tokio::spawn(self.server.run()))
        }
    }

    impl Drop for Answering {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
}

#[cfg(not(feature = "postgres"))]
mod wired {
    use crate::failure::Failure;
    use hitters_service::Service;
    use std::net::SocketAddr;
    use tokio::runtime::Runtime;

    /// There is none.
    pub enum Sql {}

    /// It cannot listen.
    pub fn bind(_: &Runtime, _: SocketAddr, _: &Service) -> Result<Sql, Failure> {
        let said = "this build does not speak the PostgreSQL protocol: build it with --features postgres";
        Err(Failure::Usage(said.into()))
    }

    impl Sql {
        /// Where it would listen.
        pub fn address(&self) -> SocketAddr {
            match *self {}
        }

        /// It would answer.
        pub fn run(self) -> Self {
            self
        }
    }
}
