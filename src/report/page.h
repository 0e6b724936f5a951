/* The frame of the page that `lloyd report` writes. */
#ifndef LLOYD_PAGE_H
#define LLOYD_PAGE_H

/* The style sheet, for screens of any width, light or dark, and for paper. */
extern const char lloyd_page_style[];

#endif
