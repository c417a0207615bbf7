//! Messages with buttons that are no proposal's card: what tells of a stop, a lock or an offer, and digests of runs that asked nobody.

use domain::ProposalId;
use sqlx::SqliteConnection;

use crate::model::{NewPost, Post, Told};
use crate::{StoreError, Tx, sql};

type Columns = (i64, Option<String>, i64, Option<i64>, Option<i64>, String);

impl Tx {
    /// Stores a message before it is sent; answers its row.
    pub async fn put_post(&mut self, post: &NewPost) -> Result<i64, StoreError> {
        let told = post.told.map(|told| sql::encode("told", &told)).transpose()?;
        let query = sqlx::query("insert into posts (told, chat, thread, nonce, sent_at) values (?, ?, ?, ?, ?) returning id")
            .bind(told)
            .bind(post.chat)
            .bind(post.thread)
            .bind(post.nonce.clone())
            .bind(sql::micros(post.sent_at));
        let id = sql::big(self.returned_id("post", query).await?);
        for (number, run) in (0i64..).zip(&post.runs) {
            let query = sqlx::query("insert into posted_runs (post, number, proposal) values (?, ?, ?)")
                .bind(id)
                .bind(number)
                .bind(run.to_string());
            self.execute(query).await?;
        }
        Ok(id)
    }

    /// Telegram confirmed the message, or a tap revealed it.
    pub async fn confirm_post(&mut self, post: i64, message: i64) -> Result<(), StoreError> {
        self.execute(sqlx::query("update posts set message = ? where id = ?").bind(message).bind(post))
            .await?;
        Ok(())
    }
}

pub(crate) const POST_BY_NONCE: &str = "select id, told, chat, thread, message, nonce from posts where nonce = ?";

pub(crate) async fn post_by_nonce(connection: &mut SqliteConnection, nonce: &str) -> Result<Option<Post>, StoreError> {
    Ok(posts(connection, POST_BY_NONCE, nonce.to_owned()).await?.pop())
}

pub(crate) const POSTS_OF: &str = "select id, told, chat, thread, message, nonce from posts where told = ? order by id";

pub(crate) async fn posts_of(connection: &mut SqliteConnection, told: Told) -> Result<Vec<Post>, StoreError> {
    posts(connection, POSTS_OF, sql::encode("told", &told)?).await
}

// `cross join` keeps the order of the loops: from the one run to the few digests that tell of it.
pub(crate) const DIGESTS_WITH: &str = "select posts.id, posts.told, posts.chat, posts.thread, posts.message, posts.nonce
 from posted_runs cross join posts on posts.id = posted_runs.post where posted_runs.proposal = ? order by posts.id";

pub(crate) async fn digests_with(connection: &mut SqliteConnection, run: ProposalId) -> Result<Vec<Post>, StoreError> {
    posts(connection, DIGESTS_WITH, run.to_string()).await
}

/// The messages that one of these questions finds, in its order.
async fn posts(connection: &mut SqliteConnection, question: &'static str, wanted: String) -> Result<Vec<Post>, StoreError> {
    let found: Vec<Columns> = sqlx::query_as(question)
        .bind(wanted)
        .fetch_all(&mut *connection)
        .await
        .map_err(sql::failed)?;
    let mut posts = Vec::with_capacity(found.len());
    for columns in found {
        posts.push(decode(connection, columns).await?);
    }
    Ok(posts)
}

pub(crate) const POSTED_RUNS: &str = "select proposal from posted_runs where post = ? order by number";

async fn decode(connection: &mut SqliteConnection, (id, told, chat, thread, message, nonce): Columns) -> Result<Post, StoreError> {
    let runs: Vec<String> = sqlx::query_scalar(POSTED_RUNS)
        .bind(id)
        .fetch_all(connection)
        .await
        .map_err(sql::failed)?;
    Ok(Post {
        id,
        told: told
            .map(|told| sql::decode("what a post tells", &id.to_string(), &told))
            .transpose()?,
        runs: runs.iter().map(|run| sql::id(run)).collect::<Result<_, _>>()?,
        chat,
        thread,
        message,
        nonce,
    })
}
