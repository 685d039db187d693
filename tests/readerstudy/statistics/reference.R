# Second implementation of tables 3, 4 and 5, in R's own words. Reads a complete score table and the margins,
# prints one line a result: table, sequence, arm, category, name, value.
arguments <- commandArgs(trailingOnly = TRUE)
scores <- read.csv(arguments[1], stringsAsFactors = FALSE)
alpha <- 0.05
better_lower <- "Presence of Artifacts"

say <- function(table, key, name, value)
  cat(table, key, name, format(value, digits = 17), sep = "\t", fill = FALSE, "\n")

wide <- function(s, a, k) {
  part <- scores[scores$sequence == s & scores$arm == a & scores$category == k, ]
  tapply(part$score, list(part$patient, part$reader), function(x) x)
}

conger <- function(x) {
  # complete data, general weights over the categories 0 ... 5
  categories <- 0:5
  w <- 1 - outer(categories, categories, "-")^2 / 25
  r <- ncol(x); n <- nrow(x)
  pairs <- combn(r, 2)
  weight <- function(a, b) w[cbind(match(a, categories), match(b, categories))]
  pa <- mean(apply(pairs, 2, function(p) mean(weight(x[, p[1]], x[, p[2]]))))
  share <- sapply(1:r, function(g) table(factor(x[, g], categories)) / n)
  pe <- mean(apply(pairs, 2, function(p) t(share[, p[1]]) %*% w %*% share[, p[2]]))
  (pa - pe) / (1 - pe)
}

for (s in unique(scores$sequence)) for (k in unique(scores$category)) {
  reference <- wide(s, "Standard", k)
  arms <- unique(scores$arm)
  p <- c()
  for (a in arms) {
    x <- wide(s, a, k)
    key <- paste(s, a, k, sep = "\t")
    y <- rowMeans(x)
    say("table3", key, "mean", mean(y)); say("table3", key, "sd", sd(y))
    say("table5", key, "kappa", conger(x))
    if (a == "Standard") next
    d <- y - rowMeans(reference[rownames(x), ])
    less <- k == better_lower
    margin <- if (less) 0.2 else -0.5
    test <- suppressWarnings(wilcox.test(d, mu = margin, alternative = if (less) "less" else "greater",
                                         exact = FALSE, correct = TRUE, digits.rank = 7))
    p[a] <- test$p.value
    say("table4", key, "statistic", unname(test$statistic)); say("table4", key, "p_raw", test$p.value)
    walsh <- outer(d, d, "+") / 2
    walsh <- sort(walsh[!lower.tri(walsh)])
    n <- length(d)
    say("table4", key, "pseudomedian", median(walsh))
    low <- max(1, qsignrank(alpha, n))
    say("table4", key, "ci_low", walsh[low]); say("table4", key, "ci_high", walsh[n * (n + 1) / 2 + 1 - low])
  }
  q <- p.adjust(p, "BH")
  for (a in names(q)) say("table4", paste(s, a, k, sep = "\t"), "p_adjusted", q[[a]])
}
